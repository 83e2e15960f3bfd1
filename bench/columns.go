package main

// column is a figure of a scenario; results are also looked up by it.
type column string

const (
	cpuPerDelivery column = "µs CPU per delivery"
	perSecond      column = "deliveries/s"
	latency50      column = "p50 ms"
	latency99      column = "p99 ms"
	lost           column = "lost"
	ended          column = "streams cut"
	orders         column = "orders seen"
	clientBusy     column = "client busy"
	late           column = "sent late"
	peakMB         column = "peak growth MB"
	publishes      column = "publishes/s"
	cpuPerPublish  column = "µs CPU per message"
	answer50       column = "answer p50 ms"
	answer99       column = "answer p99 ms"
	kbPerReader    column = "KB PSS per reader"
	cpuPerReader   column = "µs CPU to connect"
	idleCPU        column = "idle CPU ms/s"
	perMessage     column = "µs CPU per replayed message"
	seconds        column = "seconds"
	quiet99        column = "p99 ms without"
	stalled99      column = "p99 ms with stalled"
	growthMB       column = "growth MB"
	connects       column = "connects/s"
	keptKB         column = "KB kept per connect"
	keptFiles      column = "descriptors kept"
	kbPerRoom      column = "KB PSS per room"
	wanted         column = "deliveries"
	doubled        column = "doubled"
	replays        column = "replayed"
	replay99       column = "replay p99 s"
	replayMost     column = "replay slowest s"
	rested99       column = "p99 s without outage"
	restedMost     column = "slowest s without outage"
	down           column = "down s"
	slowest        column = "slowest publish s"
	back50         column = "50 % back s"
	back99         column = "99 % back s"
	backAll        column = "last back s"
	neverBack      column = "never back"
)

// ratioless lists the columns in which a ratio means nothing.
var ratioless = []column{
	lost, ended, orders, clientBusy, late, keptFiles, keptKB, idleCPU, growthMB,
	wanted, doubled, replays, replay99, replayMost, rested99, restedMost,
	down, slowest, back50, back99, backAll, neverBack,
}
