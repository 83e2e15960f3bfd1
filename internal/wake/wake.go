// Package wake wakes goroutines that wait for something to do.
package wake

// Up wakes the goroutine that receives from c, which has room for one element. If
// that goroutine was woken before and has not received yet, once is enough. Up
// never blocks.
func Up(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
