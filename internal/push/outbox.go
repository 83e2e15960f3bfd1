package push

import (
	"maps"
	"net/url"
	"time"
)

const (
	// maxUnderWay is how many requests are under way at the same time.
	maxUnderWay = 128
	// perService is how many of them go to one push service, so that one that hangs does not
	// hold up the others.
	perService = maxUnderWay / 2
	// maxUnproven is how many go to services that have accepted nothing lately, which may
	// hang, and maxUnprovenEach how many to one of them.
	maxUnproven     = 16
	maxUnprovenEach = maxUnproven / 4
	// proofLife is for how long a service counts as one that works, unless it stops answering.
	proofLife = 10 * time.Minute
	// maxProven is how many such services are remembered.
	maxProven = 1000
)

// outbox is the requests that wait for their turn. Push services take turns. Only the sender's
// goroutine uses it.
type outbox struct {
	services map[string]*line
	ready    []*line // those with a request that may begin, whose turn is next first
	underWay int
	proven   map[string]time.Time // services that work, and when they last accepted something
	unproven int                  // requests under way to others
	held     []*line              // those that wait until there are fewer of these
}

// job is a request to a push service.
type job struct {
	desk *desk
	slot *slot
	sub  *Subscription
	what *notice // nil if it is not to be pushed any more
	// service is its origin; set by outbox.add.
	service string
	// checked is when the subscription and the person's absence were last checked.
	checked time.Time
	// unproven is set if it counts as such in outbox.
	unproven bool
}

// line is the requests to one push service.
type line struct {
	service  string
	jobs     []job
	underWay int
	isReady  bool // in outbox.ready or outbox.held
}

func newOutbox() outbox {
	return outbox{services: make(map[string]*line), proven: make(map[string]time.Time)}
}

// isProven reports whether a service has accepted something lately.
func (o *outbox) isProven(service string) bool {
	at, known := o.proven[service]
	return known && time.Since(at) < proofLife
}

// prove notes whether a service works.
func (o *outbox) prove(service string, works bool) {
	if !works {
		delete(o.proven, service)
		return
	}
	if len(o.proven) >= maxProven {
		maps.DeleteFunc(o.proven, func(s string, _ time.Time) bool { return !o.isProven(s) })
	}
	if _, known := o.proven[service]; known || len(o.proven) < maxProven {
		o.proven[service] = time.Now()
	}
}

// add queues a request.
func (o *outbox) add(j job) {
	j.service = serviceOf(j.sub)
	l := o.services[j.service]
	if l == nil {
		l = &line{service: j.service}
		o.services[j.service] = l
	}
	l.jobs = append(l.jobs, j)
	o.enlist(l)
}

// enlist gives a service a turn, if it has something to do and may.
func (o *outbox) enlist(l *line) {
	most := perService
	if !o.isProven(l.service) {
		most = maxUnprovenEach
	}
	if !l.isReady && len(l.jobs) > 0 && l.underWay < most {
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

// next returns the requests whose turn it is, as many as there may be. Each must be ended with
// done.
func (o *outbox) next() (jobs []job) {
	for o.underWay < maxUnderWay && len(o.ready) > 0 {
		l := o.ready[0]
		o.ready[0] = nil
		o.ready = o.ready[1:]
		unproven := !o.isProven(l.service)
		if unproven && o.unproven >= maxUnproven {
			o.held = append(o.held, l)
			continue
		}
		if unproven {
			o.unproven++
		}
		l.jobs[0].unproven = unproven
		jobs = append(jobs, l.jobs[0])
		l.jobs[0] = job{}
		l.jobs = l.jobs[1:]
		l.isReady = false
		l.underWay++
		o.underWay++
		o.enlist(l)
	}
	return jobs
}

// isReadyForMore reports whether it is the turn of more requests.
func (o *outbox) isReadyForMore() bool { return o.underWay < maxUnderWay && len(o.ready) > 0 }

// done ends a request.
func (o *outbox) done(j job) {
	o.underWay--
	if j.unproven {
		o.unproven--
		o.ready, o.held = append(o.ready, o.held...), nil
	}
	l := o.services[j.service]
	l.underWay--
	o.enlist(l)
	if l.underWay == 0 && len(l.jobs) == 0 {
		delete(o.services, l.service)
	}
}

// serviceOf returns the origin of the push service of a subscription.
func serviceOf(sub *Subscription) string {
	u, err := url.Parse(sub.Endpoint)
	if err != nil {
		return ""
	}
	return service(u)
}
