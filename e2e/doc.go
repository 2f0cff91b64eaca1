// Package e2e holds the tests of whole sites: the real uvs binary on a director, real
// nginx on the servers, real curl on the clients, each in a network namespace. A test is
// named for what an operator sees. They need root and the programs that `make test`
// installs, and run with the build tag netns.
package e2e
