package table

import "maps"

// An owner is the identity of a Table among its copies.
type owner struct{ _ byte } // of no size, two could be one

// own returns the service at place i to write: a copy of its own, if it is another table's as well.
func (t *Table) own(i int) *service {
	s := t.services[i]
	if s.owner != t.owner {
		x := *s
		x.owner, x.servers = t.owner, make([]*server, len(s.servers))
		for j, r := range s.servers {
			y := *r
			x.servers[j] = &y
		}
		s, t.services[i] = &x, &x
	}
	s.view = nil
	return s
}

// add puts a new service, or one that was removed and is the table's own, at the end.
func (t *Table) add(s *service) {
	s.owner, s.view = t.owner, nil
	t.services = append(t.services, s)
	if x := t.index; x != nil {
		if x.shared {
			x = &index{byKey: maps.Clone(x.byKey), byGroup: x.byGroup}
			t.index = x
		}
		x.byKey[s.key] = len(t.services) - 1
	}
}

// An index says where in the list services are. One that several tables share is not changed any more.
type index struct {
	byKey   map[Key]int
	byGroup map[string][]int // of the configuration's services, by FileService.Group
	shared  bool
}

// places returns the table's index.
func (t *Table) places() *index {
	if t.index == nil {
		x := &index{byKey: make(map[Key]int, len(t.services)), byGroup: make(map[string][]int)}
		for i, s := range t.services {
			x.byKey[s.key] = i
			if s.file != nil {
				x.byGroup[s.file.Group] = append(x.byGroup[s.file.Group], i)
			}
		}
		t.index = x
	}
	return t.index
}
