package health

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// maxLine bounds a line of a mail server's answer, CR and LF included. RFC 5321, Section
// 4.5.3.1.5, has 512 bytes.
const maxLine = 4096

// probeSMTP has a mail server greet, takes its answer to HELO, and says QUIT. Each stage has its
// own time. keepalived 2.2.7, check/check_smtp.c.
func probeSMTP(ctx context.Context, c *Check) Outcome {
	conn, o := dial(ctx, c)
	if conn == nil {
		return o
	}
	defer conn.Close() //nolint:errcheck // nothing was written that could be lost
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	o = converse(conn, c)
	if ctx.Err() != nil {
		return Outcome{Verdict: Rescheduled, Reason: Canceled, Err: ctx.Err()}
	}
	return o
}

// converse is the conversation with a mail server.
func converse(conn net.Conn, c *Check) Outcome {
	r := bufio.NewReaderSize(conn, maxLine)
	for _, stage := range []struct {
		say  string
		want int // 0: any
	}{{"", 220}, {"HELO " + c.HeloName + "\r\n", 250}, {"QUIT\r\n", 0}} {
		if err := conn.SetDeadline(time.Now().Add(c.stageTimeout())); err != nil {
			return failure(WriteFailed, shorten(err))
		}
		if stage.say != "" {
			if _, err := conn.Write([]byte(stage.say)); err != nil {
				return stageOutcome(WriteTimeout, WriteFailed, "write", err)
			}
		}
		code, err := replyCode(r)
		switch {
		case errors.Is(err, errReply):
			return failure(BadAnswer, err)
		case err != nil:
			return stageOutcome(ReadTimeout, ReadFailed, "read", err)
		case stage.want != 0 && code != stage.want:
			return Outcome{Reason: BadAnswer, Code: code, Err: fmt.Errorf("answer %d, want %d", code, stage.want)}
		}
	}
	return Outcome{Verdict: Success}
}

var errReply = errors.New("no reply code")

// replyCode reads an answer of one or more lines and returns its code (RFC 5321, Section
// 4.2.1).
func replyCode(r *bufio.Reader) (int, error) {
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return 0, fmt.Errorf("%w: a line of more than %d bytes", errReply, maxLine)
		case err != nil:
			return 0, err
		case len(line) < 4:
			return 0, errReply
		}
		code := 0
		for _, digit := range line[:3] {
			if digit < '0' || digit > '9' {
				return 0, errReply
			}
			code = code*10 + int(digit-'0')
		}
		if line[3] != '-' {
			return code, nil
		}
	}
}
