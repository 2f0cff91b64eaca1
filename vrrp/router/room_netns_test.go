//go:build netns

package router

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestRoomForAStall: while the thread is held up, a socket keeps the adverts of all virtual
// routers of a segment, 255 and more, also of a driver whose every packet fills a page.
func TestRoomForAStall(t *testing.T) {
	s, err := openSocket(socketKey{protocol: protoVRRP, listens: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	const page, routers = 4096, 255
	got, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil || got < routers*page {
		t.Errorf("room for %d bytes (%v), want %d at least", got, err, routers*page)
	}
}
