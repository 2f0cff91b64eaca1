package session

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// speakerEnv makes the test binary a speaker instead: a program with a Set, for hosts of a site.
const speakerEnv = "BFD_SPEAKER"

// speak runs a Set. It reads a list of sessions in JSON from each line of standard input, and "?" for a report. It
// writes a line for each event: its time in nanoseconds since 1970, and what it was. SIGTERM ends it.
func speak() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	set := NewSet(func(e Event) {
		what := "note " + e.Message
		switch {
		case e.Initial:
			what = "new"
		case e.Kind == Turned && e.Up:
			what = "up " + e.Message
		case e.Kind == Turned:
			what = "down by " + e.Reason
		}
		fmt.Printf("%d %s %s\n", time.Now().UnixNano(), e.Name, what)
	})
	var wg sync.WaitGroup
	go func() { // ends with the process
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			if line := in.Text(); strings.HasPrefix(line, "?") {
				c := set.Counters()
				fmt.Printf("%d report %+v %+v\n", time.Now().UnixNano(), c, set.Snapshot())
				continue
			}
			var list []Config
			if err := json.Unmarshal(in.Bytes(), &list); err != nil {
				fmt.Println(err)
			}
			set.Apply(list)
		}
	}()
	wg.Go(func() {
		if err := set.Run(ctx); err != nil {
			fmt.Println(err)
		}
	})
	wg.Wait()
	stop()
	os.Exit(0)
}
