package mail_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"uvs/internal/mail"
)

// A server is the other end of connections that a test plays. Each line it gets is answered by answer: "" for 250 OK,
// "-" for nothing, "close" for the end.
type server struct {
	greeting string
	answer   func(line string) string

	mu    sync.Mutex // guards lines
	lines []string
}

// dial gives one end of a pipe to the queue and talks at the other.
func (s *server) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer ours.Close()
		if s.greeting != "" {
			fmt.Fprintf(ours, "%s\r\n", s.greeting)
		}
		in := bufio.NewReader(ours)
		text := false
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimSuffix(line, "\r\n")
			s.mu.Lock()
			s.lines = append(s.lines, line)
			s.mu.Unlock()
			if text && line != "." {
				continue
			}
			answer := ""
			if s.answer != nil {
				answer = s.answer(line)
			}
			switch {
			case answer == "close":
				return
			case answer == "-":
				continue
			case answer == "" && line == "DATA":
				answer = "354 go on"
			case answer == "":
				answer = "250 OK"
			}
			text = strings.HasPrefix(answer, "354")
			fmt.Fprintf(ours, "%s\r\n", answer)
		}
	}()
	return theirs, nil
}

func (s *server) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

// deliver sends messages in virtual time and returns what became of them and how long it all took.
func deliver(t *testing.T, o mail.Options, messages ...mail.Message) (events []mail.Event, took time.Duration) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan mail.Event, len(messages))
	o.OnEvent = func(e mail.Event) { done <- e }
	if o.From == "" {
		o.From = "lb@example.com"
	}
	if o.To == nil {
		o.To = []string{"one@example.net", "two@example.net"}
	}
	q := mail.NewQueue(o)
	for _, m := range messages {
		q.Send(m)
	}
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	for range messages {
		events = append(events, <-done)
	}
	took = time.Since(began)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return events, took
}

var message = mail.Message{Subject: "a subject", Body: "a body"}

func TestConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{greeting: "220-two lines\r\n220 of greeting"}
		events, _ := deliver(t, mail.Options{Dial: s.dial, Helo: "lb.example.com", From: `"The LB" <lb@example.com>`, To: []string{"one@example.net", "Two <two@example.net>"}}, message)
		if e := events[0]; e.Err != nil || e.Refused != nil || e.Failed != 0 || e.First || e.String() != "SMTP alert successfully sent." {
			t.Errorf("event %+v: %v", e, e)
		}
		want := `HELO lb.example.com
MAIL FROM:<lb@example.com>
RCPT TO:<one@example.net>
RCPT TO:<two@example.net>
DATA
Date: ` + time.Now().Format("Mon, 02 Jan 2006 15:04:05 -0700") + `
From: "The LB" <lb@example.com>
Subject: a subject
X-Mailer: Keepalived
To: one@example.net, Two <two@example.net>

a body

.
QUIT`
		if got := s.said(); got != want {
			t.Errorf("said\n%s\nwant\n%s", got, want)
		}
	})
}

// TestNothingIsSmuggled: what comes from a configuration ends neither a header nor the message nor a command.
func TestNothingIsSmuggled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{greeting: "220 x"}
		events, _ := deliver(t, mail.Options{Dial: s.dial, Helo: "a\r\nRSET", From: "x\r\nRSET <a@b\r\nRSET>", To: []string{"c@d\r\nRSET"}},
			mail.Message{Subject: "one\r\nBcc: all@example.com", Body: ".\r\n.\r\nRSET"}, mail.Message{Subject: "größer", Body: "."})
		for _, e := range events {
			if e.Err != nil {
				t.Error(e)
			}
		}
		got := s.said()
		for _, bad := range []string{"\nRSET", "\nBcc", "größer"} {
			if strings.Contains(got, bad) {
				t.Errorf("%q is in\n%s", bad, got)
			}
		}
		for _, good := range []string{"\nSubject: one  Bcc: all@example.com\n", "\n\n..  .  RSET\n\n.\n", "\nSubject: =?utf-8?q?gr=C3=B6=C3=9Fer?=\n", "\n\n..\n\n.\n"} {
			if !strings.Contains(got, good) {
				t.Errorf("%q is not in\n%s", good, got)
			}
		}
	})
}

func TestTrouble(t *testing.T) {
	on := func(word, answer string) func(string) string {
		return func(line string) string {
			if strings.HasPrefix(line, word) {
				return answer
			}
			return ""
		}
	}
	for _, c := range []struct {
		name  string
		s     *server
		want  string
		took  time.Duration
		quits bool
	}{
		{"no greeting", &server{}, `mail "a subject" was not sent: SMTP server x:25, greeting: read pipe: i/o timeout`, 5 * time.Second, false},
		{"unfriendly", &server{greeting: "554 go away"}, `mail "a subject" was not sent: SMTP server x:25, greeting: 554 "go away"`, 0, false},
		{"HELO", &server{greeting: "220 x", answer: on("HELO", "501 who")}, `mail "a subject" was not sent: SMTP server x:25, HELO: 501 "who"`, 0, false},
		{"sender", &server{greeting: "220 x", answer: on("MAIL", "550 no")}, `mail "a subject" was not sent: SMTP server x:25, MAIL: 550 "no"`, 0, false},
		{"one receiver", &server{greeting: "220 x", answer: on("RCPT TO:<one", "550 no")}, `mail "a subject" was not taken for one@example.net`, 0, true},
		{"all receivers", &server{greeting: "220 x", answer: on("RCPT", "550 no")}, `mail "a subject" was not sent: SMTP server x:25, RCPT: 550 "no"`, 0, false},
		{"silence", &server{greeting: "220 x", answer: on("DATA", "-")}, `mail "a subject" was not sent: SMTP server x:25, DATA: read pipe: i/o timeout`, 5 * time.Second, false},
		{"silence at the end", &server{greeting: "220 x", answer: on("QUIT", "-")}, `SMTP alert successfully sent.`, 5 * time.Second, true},
		{"message", &server{greeting: "220 x", answer: on(".", "552 too long")}, `mail "a subject" was not sent: SMTP server x:25, message: 552 "too long"`, 0, false},
		{"closed", &server{greeting: "220 x", answer: on("RCPT", "close")}, `mail "a subject" was not sent: SMTP server x:25, RCPT: EOF`, 0, false},
		{"endless", &server{greeting: "220-" + strings.Repeat("x", 1<<17)}, `mail "a subject" was not sent: SMTP server x:25, greeting: EOF`, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				events, took := deliver(t, mail.Options{Server: "x:25", Dial: c.s.dial, Timeout: 5 * time.Second}, message)
				if got := events[0].String(); got != c.want {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
				if took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if quits := strings.HasSuffix(c.s.said(), "QUIT"); quits != c.quits {
					t.Errorf("good-bye: %v, want %v", quits, c.quits)
				}
			})
		})
	}
}

// TestSlowServer: each answer may take its time.
func TestSlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{greeting: "220 x", answer: func(string) string {
			time.Sleep(4 * time.Second)
			return ""
		}}
		if events, took := deliver(t, mail.Options{Dial: s.dial, Timeout: 5 * time.Second}, message); events[0].Err != nil || took != 28*time.Second {
			t.Errorf("%v after %v, want it sent after 28s", events[0], took)
		}
	})
}

// TestEachTroubleIsFirstOnce: and so is its end.
func TestEachTroubleIsFirstOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{greeting: "220 x"}
		n := 0
		o := mail.Options{Server: "x:25", Timeout: 5 * time.Second, Dial: func(ctx context.Context, a, b string) (net.Conn, error) {
			switch n++; n {
			case 2, 3:
				<-ctx.Done() // a server that does not answer
				return nil, ctx.Err()
			case 4:
				return nil, os.ErrPermission
			}
			return s.dial(ctx, a, b)
		}}
		events, took := deliver(t, o, message, message, message, message, message, message)
		got := ""
		for _, e := range events {
			got += fmt.Sprintf("%v %v %d; ", e.Err == nil, e.First, e.Failed)
		}
		if want := "true false 0; false true 1; false false 2; false false 3; true true 3; true false 3; "; got != want {
			t.Errorf("sent, first, failed: %s, want %s", got, want)
		}
		if took != 10*time.Second {
			t.Errorf("took %v, want two timeouts", took)
		}
		if want := `mail "a subject" was not sent: connect to SMTP server: context deadline exceeded`; events[1].String() != want {
			t.Errorf("%v, want %s", events[1], want)
		}
	})
}

// TestFullQueue: nobody waits for a server that hangs, and the end does not either.
func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{greeting: "220 x", answer: func(string) string { return "-" }}
		var mu sync.Mutex
		var errs []error
		firsts := 0
		q := mail.NewQueue(mail.Options{Dial: s.dial, Max: 2, From: "a@b", To: []string{"c@d"}, OnEvent: func(e mail.Event) {
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, e.Err)
			if e.First {
				firsts++
			}
		}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- q.Run(ctx) }()
		q.Send(message)
		synctest.Wait() // this one is under way
		began := time.Now()
		for range 6 {
			q.Send(message)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("Send took %v", took)
		}
		mu.Lock()
		if len(errs) != 4 || firsts != 1 || !errors.Is(errs[0], mail.ErrFull) {
			t.Errorf("%v, %d of them first, want four times no room, once first", errs, firsts)
		}
		mu.Unlock()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != mail.StopGrace {
			t.Errorf("the end took %v, want %v", took, mail.StopGrace)
		}
		if len(errs) != 7 || errs[6] == nil {
			t.Errorf("afterwards %d messages are accounted for, want 7", len(errs))
		}
	})
}

// TestLastMessagesAreSent: what was queued right before the end goes out.
func TestLastMessagesAreSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{greeting: "220 x"}
		sent := 0
		q := mail.NewQueue(mail.Options{Dial: s.dial, From: "a@b", To: []string{"c@d"}, OnEvent: func(e mail.Event) {
			if e.Err == nil {
				sent++
			}
		}})
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			q.Send(message)
		}
		cancel()
		if err := q.Run(ctx); err != nil || sent != 3 {
			t.Errorf("%d sent, %v, want 3", sent, err)
		}
		synctest.Wait()
	})
}

// TestDigest: what comes within the time of a digest goes out as one mail, in order, and what comes alone as it is. At
// the end nothing is waited for.
func TestDigest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{greeting: "220 ready"}
		var events []mail.Event
		q := mail.NewQueue(mail.Options{
			Server: "mx:25", From: "lb@x", To: []string{"ops@x"}, Dial: s.dial, Digest: time.Minute,
			OnEvent: func(e mail.Event) { events = append(events, e) },
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = q.Run(ctx) }) // returns nil
		send := func(names ...string) {
			for _, n := range names {
				q.Send(mail.Message{Subject: "[lb1] " + n + " - DOWN", Body: "=> " + n + " <="})
			}
		}
		send("a", "b")
		time.Sleep(59 * time.Second)
		send("c")
		synctest.Wait()
		if said := s.said(); said != "" {
			t.Errorf("said before its time:\n%s", said)
		}
		time.Sleep(2 * time.Second)
		send("alone")
		time.Sleep(61 * time.Second)
		send("d", "e")
		cancel()
		running.Wait()
		var subjects []string
		for _, e := range events {
			subjects = append(subjects, e.Message.Subject)
		}
		want := "[lb1] 3 alerts, the first: a - DOWN; [lb1] alone - DOWN; [lb1] 2 alerts, the first: d - DOWN"
		if got := strings.Join(subjects, "; "); got != want {
			t.Errorf("mails %q\nwant  %q", got, want)
		}
		said := s.said()
		begin := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Local() // of a bubble
		at := func(after time.Duration) string { return begin.Add(after).Format(time.TimeOnly) }
		lines := fmt.Sprintf("=> 3 alerts from %[1]s to %[2]s <=\n%[1]s a - DOWN => a <=\n%[1]s b - DOWN => b <=\n%[2]s c - DOWN => c <=\n\n.", at(0), at(59*time.Second))
		if !strings.Contains(said, lines) || strings.Count(said, "=> alone <=") != 1 || strings.Contains(said, "alone - DOWN => alone") {
			t.Errorf("the server was told\n%s\nand not\n%s", said, lines)
		}
	})
}
