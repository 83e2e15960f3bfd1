package presence

// rosterScan is up to how many keys a roster is searched linearly, without a map.
const rosterScan = 16

// roster is an ordered set of keys with a value each. Every call takes amortized
// constant time. A new key comes last, and a removed key is replaced by the last
// one, so that the first keys stay mostly the same while others come and go. It is
// not safe for concurrent use.
type roster[V any] struct {
	place map[string]int // index of each key; nil while there are few
	list  []entry[V]
}

type entry[V any] struct {
	key   string
	value V
}

func (r *roster[V]) len() int { return len(r.list) }

// first returns the first n entries, or all if there are fewer. They are not a
// copy.
func (r *roster[V]) first(n int) []entry[V] { return r.list[:min(n, len(r.list))] }

func (r *roster[V]) find(key string) (i int, found bool) {
	if r.place != nil {
		i, found = r.place[key]
		return i, found
	}
	for i := range r.list {
		if r.list[i].key == key {
			return i, true
		}
	}
	return 0, false
}

// get returns the value of a key, or nil. It is valid until the roster changes.
func (r *roster[V]) get(key string) *V {
	if i, found := r.find(key); found {
		return &r.list[i].value
	}
	return nil
}

// at returns the value of a key and its index, and adds the key if need be. The
// value is valid until the roster changes.
func (r *roster[V]) at(key string) (value *V, place int) {
	i, found := r.find(key)
	if !found {
		i = len(r.list)
		r.list = append(r.list, entry[V]{key: key})
		switch {
		case r.place != nil:
			r.place[key] = i
		case len(r.list) > rosterScan:
			r.index()
		}
	}
	return &r.list[i].value, i
}

// remove removes an existing key and returns the index that it had.
func (r *roster[V]) remove(key string) (place int) {
	i, _ := r.find(key)
	last := len(r.list) - 1
	if i != last {
		r.list[i] = r.list[last]
		if r.place != nil {
			r.place[r.list[i].key] = i
		}
	}
	delete(r.place, key)
	r.list[last] = entry[V]{}
	r.list = r.list[:last]
	switch {
	case last == 0:
		*r = roster[V]{}
	case cap(r.list) > 4*rosterScan && last < cap(r.list)/4:
		r.shrink()
	}
	return i
}

// shrink frees the memory of a crowd that has left, which neither slices nor maps
// do by themselves.
func (r *roster[V]) shrink() {
	r.list = append(make([]entry[V], 0, 2*len(r.list)), r.list...)
	r.place = nil
	if len(r.list) > rosterScan {
		r.index()
	}
}

func (r *roster[V]) index() {
	r.place = make(map[string]int, len(r.list))
	for i := range r.list {
		r.place[r.list[i].key] = i
	}
}
