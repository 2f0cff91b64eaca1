// Package e2e holds the tests of whole sites: the real uvs binary on a director, real
// nginx on the servers, real curl on the clients, each in a network namespace. A test is
// named for what an operator sees. They need root and the programs that `make test`
// installs, and run with the build tag netns.
//
// A test that mostly waits calls t.Parallel, as each has a site of its own. One that measures how long something takes,
// or keeps the machine busy, does not: it runs alone, before those.
//
// TestVRRPScenarios tells stories of two or three virtual routers, each of them with casts of
// uvs, Debian's keepalived and FRR: vrrp_play_netns_test.go says what a story is made of.
package e2e
