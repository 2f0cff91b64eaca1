package config

// Exit is an exit status of `keepalived -t`, keepalived 2.2.7.
type Exit uint8

// The exit statuses.
const (
	ExitOK         Exit = 0 // nothing that counts
	ExitMissing    Exit = 2 // a word lacks its parameter: keepalived stops reading
	ExitUnreadable Exit = 4 // there is no configuration, or it cannot run
	ExitFaults     Exit = 5 // something was reported, and keepalived would run
	ExitInsecure   Exit = 6 // scripts are run without enable_script_security, or an include of a strict kind failed
)

// Exit returns the status that `keepalived -t` would leave with after these findings.
func (ds Diagnostics) Exit() Exit {
	worst := ExitOK
	for i := range ds {
		e := ds[i].Exit
		if e == ExitMissing {
			return e
		}
		// Of the others keepalived takes the highest, but a file that it cannot run counts least.
		worst = max(worst, e)
	}
	return worst
}
