package conntrack

import (
	"cmp"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestEntrySizes(t *testing.T) {
	for _, tt := range []struct {
		value any
		want  uintptr
	}{
		{entry4{}, size4},
		{entry6{}, size6},
		{head{}, 48},
		{slot(0), 8},
	} {
		typ := reflect.TypeOf(tt.value)
		if typ.Size() != tt.want {
			t.Errorf("%v has %d bytes, want %d", typ, typ.Size(), tt.want)
		}
		if hasPointers(typ) {
			t.Errorf("%v has pointers", typ)
		}
	}
	if field, _ := reflect.TypeOf(shard{}).FieldByName("mu"); field.Offset < 128 {
		t.Errorf("the lock lies at %d, beside what is read without it", field.Offset)
	}
}

func hasPointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if hasPointers(t.Field(i).Type) {
				return true
			}
		}
		return false
	case reflect.Array:
		return hasPointers(t.Elem())
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Int32:
		return false
	}
	return true
}

// TestIndexAgainstASlice compares the index with a sorted slice, with tags that crowd
// together: few distinct ones, many equal ones, and a run into the spill.
func TestIndexAgainstASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &indexes{shards: 1}
		defer m.close()
		x, err := m.create(0, minIndexBits)
		if err != nil {
			t.Fatal(err)
		}
		tag := rapid.OneOf(
			rapid.Uint32(),
			rapid.Uint32Range(0, 3),
			rapid.Uint32Range(0xfffffff0, 0xffffffff),
			rapid.Custom(func(t *rapid.T) uint32 { return rapid.Uint32Range(100, 110).Draw(t, "home") << 24 }),
		)
		var model []slot // as a walk over the index must meet them
		for ref := uint32(1); ref <= uint32(rapid.IntRange(1, 250).Draw(t, "steps")); ref++ {
			if len(model) > 0 && rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
				i := rapid.IntRange(0, len(model)-1).Draw(t, "which")
				x.remove(x.find(model[i].tag(), model[i].ref()))
				model = slices.Delete(model, i, i+1)
			} else {
				v := newSlot(tag.Draw(t, "tag"), ref)
				if !x.insert(v.tag(), v.ref()) {
					t.Fatalf("no place for %#x", v)
				}
				i, _ := slices.BinarySearchFunc(model, v.tag(), func(v slot, tag uint32) int {
					return cmp.Compare(v.tag(), tag)
				})
				model = slices.Insert(model, i, v)
			}
			checkIndex(t, x, model)
		}
		y, err := m.create(0, minIndexBits+1)
		if err != nil {
			t.Fatal(err)
		}
		y.copyFrom(x)
		checkIndex(t, y, model)
	})
}

func checkIndex(t *rapid.T, x *index, model []slot) {
	var got []slot
	for i, v := range x.slots {
		if v == 0 {
			continue
		}
		got = append(got, v)
		home := x.home(v.tag())
		if slices.Contains(x.slots[home:i], 0) {
			t.Fatalf("a gap between slot %d and its home %d", i, home)
		}
	}
	if !slices.Equal(got, model) {
		t.Fatalf("slots %#x\n want %#x", got, model)
	}
	for _, v := range model {
		if x.peek(v.tag()) {
			t.Fatalf("peek: tag %#x absent", v.tag())
		}
	}
}

func TestIndexRefusesWhatDoesNotFit(t *testing.T) {
	m := &indexes{shards: 1}
	defer m.close()
	x, err := m.create(0, minIndexBits)
	if err != nil {
		t.Fatal(err)
	}
	for ref := uint32(1); ref < spill+1; ref++ {
		if !x.insert(0xffffffff, ref) {
			t.Fatalf("entry %d refused", ref)
		}
	}
	before := slices.Clone(x.slots)
	if x.insert(0xffffffff, spill+1) {
		t.Error("the last slot was taken; it ends the searches")
	}
	if !slices.Equal(before, x.slots) {
		t.Error("a refused insertion changed slots")
	}
}
