// Command bench measures UVS and its alternatives on one topology in one run: scenarios ×
// contenders, in rounds. README.md tells the method and how to read the figures.
//
// A scenario is a load and what is measured of it; a contender is a way to bring a
// client's packets to a server. In each round a new site of network namespaces is built,
// and for each scenario every contender that it suits forwards in it once, in an order drawn for
// that round. Ratios are taken within a round, so that a machine that is slower for a minute
// is slower for all.
//
// A further scenario is a value with the methods of [scenario], listed in scenarios; a
// further contender is a [contender], listed in contenders. Package outcome has the records
// that both write, package load makes packets.
package main
