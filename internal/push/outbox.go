package push

const (
	// maxUnderWay is how many requests are under way at the same time.
	maxUnderWay = 128
	// perService is how many of them go to one push service, so that one that hangs does not
	// hold up the others.
	perService = maxUnderWay / 2
)

// outbox is the requests that wait for their turn. Push services take turns. Only the sender's
// goroutine uses it.
type outbox struct {
	services map[string]*line
	ready    []*line // those with a request that may begin, whose turn is next first
	underWay int
}

// line is the requests to one push service.
type line struct {
	service  string
	jobs     []job
	underWay int
	isReady  bool // in outbox.ready
}

func newOutbox() outbox { return outbox{services: make(map[string]*line)} }

// add queues a request.
func (o *outbox) add(j job) {
	name := serviceOf(j.sub)
	l := o.services[name]
	if l == nil {
		l = &line{service: name}
		o.services[name] = l
	}
	l.jobs = append(l.jobs, j)
	o.enlist(l)
}

// enlist gives a service a turn, if it has something to do and may.
func (o *outbox) enlist(l *line) {
	if !l.isReady && len(l.jobs) > 0 && l.underWay < perService {
		l.isReady = true
		o.ready = append(o.ready, l)
	}
}

// void takes the messages out of all requests that wait.
func (o *outbox) void() {
	for _, l := range o.services {
		for i := range l.jobs {
			l.jobs[i].what = nil
		}
	}
}

// start begins as many requests as there may be. begin reports whether it has begun one.
func (o *outbox) start(begin func(job) bool) {
	for o.underWay < maxUnderWay && len(o.ready) > 0 {
		l := o.ready[0]
		o.ready[0] = nil
		o.ready = o.ready[1:]
		j := l.jobs[0]
		l.jobs[0] = job{}
		l.jobs = l.jobs[1:]
		l.isReady = false
		l.underWay++
		o.underWay++
		o.enlist(l)
		if !begin(j) {
			o.done(j)
		}
	}
}

// done ends a request.
func (o *outbox) done(j job) {
	o.underWay--
	l := o.services[serviceOf(j.sub)]
	l.underWay--
	o.enlist(l)
	if l.underWay == 0 && len(l.jobs) == 0 {
		delete(o.services, l.service)
	}
}
