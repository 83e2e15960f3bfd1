package load

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/protocol"
)

// Readers are open streams that one thread reads.
type Readers struct {
	epoll   int
	streams []*stream
	every   int // one in so many streams is a sample

	events atomic.Int64
	opened atomic.Int64
	ended  atomic.Int64
	busy   atomic.Int64 // nanoseconds in which the thread did not wait
	phase  atomic.Int32

	stop    atomic.Bool
	stopped chan struct{}

	mu  sync.Mutex // guards err
	err error      // the first error of any stream

	latencies [phases][]time.Duration // owned by the thread until it stops
}

// phases is the number of phases of a measurement, each with its own latencies;
// phase 0 records none.
const phases = 3

// samples is how many streams are parsed.
const samples = 64

// Target is where readers connect.
type Target struct {
	Addr   string
	Over   protocol.Name
	Path   func(i int) string // of the i-th reader
	Header string             // header lines of the request, each with its line end
}

// window is how many streams may be waiting for their answer.
const window = 256

// Connect opens n streams and waits until each has been answered.
func Connect(to Target, n int) (*Readers, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	r := &Readers{epoll: epoll, streams: make([]*stream, n), every: max(1, n/samples), stopped: make(chan struct{})}
	go r.run()
	workers := 1
	if to.Over.IsSecure() {
		workers = 8 // handshakes would otherwise run one by one
	}
	var next atomic.Int64
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && errs[w] == nil; i = int(next.Add(1)) - 1 {
				errs[w] = r.open(to, i)
			}
		})
	}
	wg.Wait()
	err = errors.Join(errs...)
	if err == nil {
		err = r.await(n)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Readers) open(to Target, i int) error {
	c, err := dial(to.Addr, to.Over, i)
	if err != nil {
		return fmt.Errorf("reader %d: %w", i, err)
	}
	s := &stream{conn: c}
	if i%r.every == 0 {
		s.sample = &sample{readers: r}
	}
	if to.Over == protocol.H2 {
		s.frames = new(frames)
	}
	if err := errors.Join(c.unblock(), c.write(getRequest(to.Over, to.Addr, to.Path(i), to.Header))); err != nil {
		return fmt.Errorf("reader %d: %w", i, err)
	}
	r.streams[i] = s
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
	if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, c.raw.fd, &event); err != nil {
		return fmt.Errorf("reader %d: %w", i, err)
	}
	return r.await(i - window)
}

// await waits until n streams have been answered.
func (r *Readers) await(n int) error {
	for begin := time.Now(); r.opened.Load() < int64(n); time.Sleep(time.Millisecond) {
		if err := r.failure(); err != nil {
			return err
		}
		if time.Since(begin) > 30*time.Second {
			return fmt.Errorf("only %d of %d readers were answered", r.opened.Load(), n)
		}
	}
	return nil
}

func (r *Readers) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // otherwise the thread would end, and the servers with it
	defer close(r.stopped)
	events := make([]unix.EpollEvent, 1024)
	buf, plain := make([]byte, 256<<10), make([]byte, 16<<10)
	for !r.stop.Load() {
		n, err := unix.EpollWait(r.epoll, events, 50)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		begin := time.Now()
		for _, event := range events[:max(n, 0)] {
			r.read(r.streams[event.Fd], buf, plain)
		}
		r.busy.Add(int64(time.Since(begin)))
	}
}

func (r *Readers) read(s *stream, buf, plain []byte) {
	opened, found := s.opened, 0
	now, phase := time.Now().UnixNano(), int(r.phase.Load())
	err := s.conn.receive(buf, plain, func(p []byte) error {
		n, err := s.feed(p, now, phase)
		found += n
		return err
	})
	if err != nil && !errors.Is(err, again) {
		_ = unix.EpollCtl(r.epoll, unix.EPOLL_CTL_DEL, s.conn.raw.fd, nil)
		r.ended.Add(1)
		r.fail(err)
	}
	r.events.Add(int64(found))
	if s.opened && !opened {
		r.opened.Add(1)
	}
}

func (r *Readers) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

func (r *Readers) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Events returns the number of events received on all streams.
func (r *Readers) Events() int64 { return r.events.Load() }

// Ended returns how many streams have ended.
func (r *Readers) Ended() int64 { return r.ended.Load() }

// Busy returns how long the reading thread did not wait.
func (r *Readers) Busy() time.Duration { return time.Duration(r.busy.Load()) }

// Phase starts a phase; phase 0 records no latencies.
func (r *Readers) Phase(n int) { r.phase.Store(int32(n)) }

// patience is how long readers wait for missing events.
const patience = 3 * time.Second

// Wait waits until n events have arrived, or no more arrive. It returns the time
// of the last one.
func (r *Readers) Wait(events int64) time.Time {
	last, since := int64(-1), time.Now()
	for {
		if now := r.events.Load(); now != last {
			last, since = now, time.Now()
		}
		if last >= events || time.Since(since) > patience {
			return since
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// Settle waits until nothing has arrived for a moment, and returns the number of
// events so far.
func (r *Readers) Settle() int64 {
	for {
		before := r.events.Load()
		time.Sleep(100 * time.Millisecond)
		if r.events.Load() == before {
			return before
		}
	}
}

// Stall makes some readers, none of them a sample, stop reading. It returns how
// many.
func (r *Readers) Stall(n int) int {
	stalled := 0
	for i, s := range r.streams {
		if i%r.every != 0 && stalled < n {
			_ = unix.EpollCtl(r.epoll, unix.EPOLL_CTL_DEL, s.conn.raw.fd, nil)
			stalled++
		}
	}
	return stalled
}

// Close closes all streams. It may be called again. The methods below may only be
// called after it.
func (r *Readers) Close() {
	if r.stop.Swap(true) {
		return
	}
	<-r.stopped
	for _, s := range r.streams {
		if s != nil {
			s.conn.close()
		}
	}
	unix.Close(r.epoll)
}

// Latency returns a percentile of the latencies of a phase in milliseconds.
func (r *Readers) Latency(phase int, p float64) float64 { return Percentile(r.latencies[phase], p) }

// Orders returns the number of different orders in which the samples have seen
// the messages; 1 is correct.
func (r *Readers) Orders() int {
	seen := make(map[[2]uint64]bool)
	for _, s := range r.streams {
		if s != nil && s.sample != nil {
			seen[[2]uint64{uint64(s.sample.count), s.sample.order}] = true
		}
	}
	return len(seen)
}
