// Package wake wakes goroutines that wait for work.
package wake

// Up wakes the goroutine that receives from c, which must have a capacity of 1.
// Several calls before it receives are one wake-up. Up never blocks and is safe for
// concurrent use.
func Up(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
