package conntrack

import (
	"testing"
	"time"
)

// TestTemplateDataDecides: of two templates whose hashes are the same, data tells which it is.
func TestTemplateDataDecides(t *testing.T) {
	table, err := New(Config{MaxFlows: 10, Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close() //nolint:errcheck // the test is over
	key := &Tuple{Src: [16]byte{203, 0, 113, 5}, Dst: [16]byte{192, 0, 2, 1}, DstPort: 5060, Proto: protoUDP}
	table.InsertTemplate(key, []byte("a"), &Spec{}, time.Minute, 0)
	s, tag := table.templatePlace(key, []byte("a"))
	if s.lookupTemplate(tag, key, []byte("a")) == 0 {
		t.Error("it is not found")
	}
	if s.lookupTemplate(tag, key, []byte("b")) != 0 {
		t.Error("another one's is found")
	}
}
