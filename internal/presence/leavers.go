package presence

// leavers are those who left a moment ago and still count, in that order.
type leavers struct {
	first, last *leaver
	byName      map[string]*leaver // the first of each name
}

type leaver struct {
	who      Identity
	at       int64 // when it left, in ticks
	replaced bool  // by one who came
	next     *leaver
	// sameName is the next of this name; lastOfName the last one, if this is
	// the first.
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

// take returns the first of a name who has not been replaced, and marks it as
// such; nil if there is none.
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

// shift takes out the first if it left no later than at. It returns nil if
// there is none.
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

// drop takes the first of a name out of those of its name.
func (q *leavers) drop(l *leaver) {
	if l.sameName == nil {
		delete(q.byName, l.who.Name)
		return
	}
	l.sameName.lastOfName = l.lastOfName
	q.byName[l.who.Name] = l.sameName
}
