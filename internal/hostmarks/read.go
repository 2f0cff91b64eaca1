package hostmarks

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// patience is how long one program may take.
const patience = 5 * time.Second

// Read looks at the rules of the network namespace of the calling thread. What cannot be
// listed, as no program for it is installed, is as if it were not there; a program that fails
// is among the notes.
func Read(ctx context.Context) (out Result) {
	var chains []chain
	for _, family := range []struct {
		prefix string
		v6     bool
		tables string // the legacy tables that there are; asking for others would make them
	}{
		{"iptables", false, "/proc/thread-self/net/ip_tables_names"},
		{"ip6tables", true, "/proc/thread-self/net/ip6_tables_names"},
	} {
		programs := []string{family.prefix + "-nft-save"}
		if names, err := os.ReadFile(family.tables); err == nil && slices.Contains(strings.Fields(string(names)), "mangle") {
			legacy := family.prefix + "-legacy-save"
			if _, err := exec.LookPath(legacy); err != nil {
				legacy = family.prefix + "-save" // of the time when there was no other
			}
			programs = append(programs, legacy)
		}
		for _, program := range programs {
			saved, ok := run(ctx, &out, program, "-t", "mangle")
			if !ok {
				continue
			}
			more, notes := parseSaved(family.prefix, string(saved), family.v6)
			chains, out.Notes = append(chains, more...), append(out.Notes, notes...)
		}
	}
	chains = append(chains, readNFT(ctx, &out)...)
	out.Rules = firstFits(chains)
	return out
}

// readNFT reads the tables of nftables one by one: nft cannot print every table that others make,
// and aborts then.
func readNFT(ctx context.Context, out *Result) (chains []chain) {
	listed, ok := run(ctx, out, "nft", "-j", "list", "tables")
	if !ok {
		return nil
	}
	tables, err := parseTables(listed)
	if err != nil {
		out.Notes = append(out.Notes, err.Error())
	}
	for _, t := range tables {
		listed, ok := run(ctx, out, "nft", "-j", "list", "table", t.Family, t.Name)
		if !ok {
			continue
		}
		more, notes, err := parseNFT(listed)
		if err != nil {
			notes = append(notes, err.Error())
		}
		chains, out.Notes = append(chains, more...), append(out.Notes, notes...)
	}
	return chains
}

// run returns what a program prints. It is false if the program is missing or fails.
func run(ctx context.Context, out *Result, program string, args ...string) (output []byte, ok bool) {
	if _, err := exec.LookPath(program); err != nil {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	output, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil {
		out.Notes = append(out.Notes, fmt.Sprintf("marks that %s lists are not known: %v", strings.Join(append([]string{program}, args...), " "), err))
		return nil, false
	}
	return output, true
}
