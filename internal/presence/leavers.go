package presence

// leavers are the streams that ended a moment ago and are still counted, oldest
// first.
type leavers struct {
	first, last *leaver
	byName      map[string]*leaver // oldest of each name
}

type leaver struct {
	who      Identity
	at       int64 // tick at which it left
	replaced bool  // by a stream that arrived
	next     *leaver
	// sameName is the next leaver of the name; lastOfName is the last one, set on
	// the first only.
	sameName, lastOfName *leaver
}

func (q *leavers) add(who Identity, at int64) *leaver {
	l := &leaver{who: who, at: at}
	if q.last == nil {
		q.first = l
		q.byName = make(map[string]*leaver)
	} else {
		q.last.next = l
	}
	q.last = l
	if head := q.byName[who.Name]; head != nil {
		head.lastOfName.sameName = l
		head.lastOfName = l
	} else {
		l.lastOfName = l
		q.byName[who.Name] = l
	}
	return l
}

// take returns the oldest leaver of a name that was not replaced, and marks it as
// replaced; nil if there is none.
func (q *leavers) take(name string) *leaver {
	for l := q.byName[name]; l != nil; l = q.byName[name] {
		q.drop(l)
		if !l.replaced {
			l.replaced = true
			return l
		}
	}
	return nil
}

// shift removes and returns the oldest leaver if it left no later than at, or
// returns nil.
func (q *leavers) shift(at int64) *leaver {
	l := q.first
	if l == nil || l.at > at {
		return nil
	}
	if q.byName[l.who.Name] == l {
		q.drop(l)
	}
	if q.first = l.next; q.first == nil {
		*q = leavers{}
	}
	return l
}

// drop removes the oldest leaver of a name from the list of its name.
func (q *leavers) drop(l *leaver) {
	if l.sameName == nil {
		delete(q.byName, l.who.Name)
		return
	}
	l.sameName.lastOfName = l.lastOfName
	q.byName[l.who.Name] = l.sameName
}
