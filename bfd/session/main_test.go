package session

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(speakerEnv) != "" {
		speak() // does not return
	}
	goleak.VerifyTestMain(m)
}
