package vrrp

// Renames pairs instances that a reload only gives another name, old to new: of the same
// interface, VRID and family, where the old name is gone and the new one was none. keepalived
// takes them for others, which gives the addresses up until the new one is master.
func Renames(old, next []Instance) map[string]string {
	has := func(list []Instance, name string) bool {
		for n := range list {
			if list[n].Name == name {
				return true
			}
		}
		return false
	}
	pairs := make(map[string]string)
	for n := range next {
		to := &next[n]
		if has(old, to.Name) {
			continue
		}
		for o := range old {
			from := &old[o]
			if !has(next, from.Name) && pairs[from.Name] == "" && from.Interface == to.Interface && from.VRID == to.VRID && from.IPv6 == to.IPv6 {
				pairs[from.Name] = to.Name
				break
			}
		}
	}
	return pairs
}

// rename gives an instance another name, and what is known of its source with it.
func (m *Machine) rename(i *instance, to string) {
	from := i.Name
	m.log(Info, "(%s) is (%s) from now on", from, to)
	m.emit(Renamed{From: from, To: to, State: i.state, Priority: i.effective})
	source := Object{KindSource, from}
	if s, known := m.objects[source]; known {
		m.objects[Object{KindSource, to}] = s
		delete(m.objects, source)
	}
}
