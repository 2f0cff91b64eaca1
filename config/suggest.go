package config

import "strings"

// suggest returns the candidate nearest to word, or "" if none is near: at most a third of the word may differ, or one
// letter of a short word. Letter case counts half a change in all, so that "tcp_check" finds "TCP_CHECK"; a longer
// beginning in common, as of "lb_algo" and "lb_algorithm", counts one.
func suggest(word string, candidates []string) string {
	const longest, most = 40, 1000 // among more there is no likely one, and a loop might ask often
	if word == "" || len(word) > longest || len(candidates) > most {
		return ""
	}
	best, bestCost := "", 2*max(1, len(word)/3)+1
	for _, c := range candidates {
		if c == word || len(c) > longest {
			continue
		}
		cost := 2 * editDistance(word, c)
		if folded := 2*editDistance(strings.ToLower(word), strings.ToLower(c)) + 1; folded < cost {
			cost = folded
		}
		const stem = 5
		if min(len(word), len(c)) >= stem && (strings.HasPrefix(word, c) || strings.HasPrefix(c, word)) {
			cost = min(cost, 2)
		}
		// The whole of a short word must not change.
		if cost < bestCost && cost < 2*max(len(word), len(c)) {
			best, bestCost = c, cost
		}
	}
	return best
}

// editDistance counts the insertions, deletions, replacements and swaps of neighbours that make a into b (optimal
// string alignment).
func editDistance(a, b string) int {
	prev2 := make([]int, len(b)+1)
	prev := make([]int, len(b)+1)
	cur := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
