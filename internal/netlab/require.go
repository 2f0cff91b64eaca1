package netlab

// A Skipper is the part of testing.TB that [Require] needs, so that this package does
// not link testing into uvs.
type Skipper interface {
	Helper()
	Skipf(format string, args ...any)
}

// Require skips the test, saying why, when no site can be built here (see [Available]).
// Tests in *_netns_test.go files begin with it.
func Require(t Skipper) {
	t.Helper()
	if err := Available(); err != nil {
		t.Skipf("netlab: %v", err)
	}
}
