package h2tap

// account is the send window of a connection, which a client grants to the
// server and the streams that were taken from it together.
type account struct {
	server  int // what the server may send, as it was told
	reserve int // what streams may send
	owed    int // part of server that the server was not told of yet
	most    int // the largest sum of server and reserve so far
}

// mostForServer is the most that is set aside for the server.
const mostForServer = 1 << 20

// leastToShare is the smallest window of a connection that can be shared. The
// streams' part is then more than half of it, which is where the slowest clients grant
// more.
const leastToShare = 3 * (initialWindow + 1)

// share is what the server's part is filled up to.
func (a *account) share() int { return max(initialWindow, min(mostForServer, a.most/4)) }

// canShare reports whether the window is large enough to be shared.
func (a *account) canShare() bool { return a.most >= leastToShare }

// grant adds what the client grants. It reports false if that is more than a client
// may grant.
func (a *account) grant(n int) bool {
	if n > maxWindow-a.server-a.reserve {
		return false
	}
	a.reserve += n
	a.most = max(a.most, a.server+a.reserve)
	a.fillUp(a.share())
	return true
}

// serverSent subtracts what the server has sent.
func (a *account) serverSent(n int) {
	if a.server -= n; a.server < a.share()/2 {
		a.fillUp(a.share())
	}
}

// fillUp moves from the reserve to the server's part what that lacks.
func (a *account) fillUp(to int) {
	if n := min(a.reserve, to-a.server); n > 0 {
		a.reserve -= n
		a.server += n
		a.owed += n
	}
}

// takeOwed returns what the server has to be told of.
func (a *account) takeOwed() int {
	n := a.owed
	a.owed = 0
	return n
}

// begin resets the account for a session that assumes the default window.
func (a *account) begin() {
	a.reserve += a.server - initialWindow
	a.server, a.owed = initialWindow, 0
	a.fillUp(a.share())
}
