package h2tap

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Connections of older servers end sooner if there are newer ones that linger too, at
// the same address.
func TestOlderServersAreHurried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var mu sync.Mutex // guards ends
		ends := make(map[string][]time.Duration)
		linger := func(name, addr string, server *conns) (leave func()) {
			return joinCrowd(addr, server, time.AfterFunc(lingering, func() {
				mu.Lock()
				defer mu.Unlock()
				ends[name] = append(ends[name], time.Since(begin))
			}))
		}
		var servers [4]conns
		for _, leave := range []func(){
			linger("first", "a", &servers[0]),
			linger("first too", "a", &servers[0]),
			linger("second", "a", &servers[1]),
			linger("elsewhere", "b", &servers[1]),
			linger("third", "a", &servers[2]),
		} {
			defer leave()
		}
		time.Sleep(hurry)
		synctest.Wait()
		if len(ends["first"]) != 1 || len(ends["first too"]) != 1 || len(ends) != 2 {
			t.Fatalf("ended after three servers: %v", ends)
		}
		// who has left does not count
		linger("fourth", "a", &servers[3])()
		time.Sleep(lingering)
		synctest.Wait()
		for name, at := range ends {
			if len(at) != 1 {
				t.Errorf("%s is asked back at %s", name, at)
			}
		}
	})
	crowds.Lock()
	defer crowds.Unlock()
	if len(crowds.at) != 0 {
		t.Errorf("left are %v", crowds.at)
	}
}
