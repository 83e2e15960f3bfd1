package ssechat

import (
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Why a message was not taken, as operators are told.
const (
	rejectInvalid     = "invalid"
	rejectTooLarge    = "too_large"
	rejectTooFast     = "too_fast"
	rejectCrossOrigin = "cross_origin"
	rejectStore       = "store"
)

var rejectReasons = []string{rejectInvalid, rejectTooLarge, rejectTooFast, rejectCrossOrigin, rejectStore}

// Why a stream was not begun, as operators are told, besides some of why streams
// end.
const (
	refuseFull       = "full"
	refuseClientFull = "client_full"
)

var refuseReasons = []string{refuseFull, refuseClientFull, endReload, endExit, endKicked}

// rejectReason returns why POST /update was answered with an error, or "" if
// that was no publisher's doing.
func rejectReason(err caddyhttp.HandlerError) string {
	if _, ok := errors.AsType[*crossOriginError](err.Err); ok {
		return rejectCrossOrigin
	}
	switch err.StatusCode {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusRequestTimeout, http.StatusUnsupportedMediaType:
		return rejectInvalid
	case http.StatusRequestEntityTooLarge:
		return rejectTooLarge
	case http.StatusTooManyRequests:
		return rejectTooFast
	case http.StatusServiceUnavailable:
		return rejectStore
	default:
		return ""
	}
}

// The metrics. No label has a value that a client can choose.
var (
	metricSubscribers = newMetric("subscribers", "Streams that are open.")
	metricRooms       = newMetric("rooms", "Rooms that have readers.")
	metricPublished   = newMetric("messages_published_total", "Messages stored; repeats do not count.")
	metricDelivered   = newMetric("messages_delivered_total", "Messages sent to readers, each for each of them, replayed ones included.")
	metricOpened      = newMetric("streams_opened_total", "Streams opened.")
	metricClosed      = newMetric("streams_closed_total", "Streams closed, by why.", "reason")
	metricRefused     = newMetric("streams_refused_total", "Streams that were told to come back later, or for kicked never, by why.", "reason")
	metricRejected    = newMetric("publish_rejected_total", "Requests to publish that were refused, by why.", "reason")
	metricReplayed    = newMetric("replayed_total", "Messages sent to readers that were older than their streams.")
	metricGaps        = newMetric("gaps_total", "Readers told that messages are missing, by why.", "reason")
	metricStore       = newMetric("store_seconds", "How long the store took to store what one request published.")
	metricStoreUp     = newMetric("store_up", "Whether the last write to the store went well, and it can be reached as far as it knows.")

	allMetrics = []*prometheus.Desc{
		metricSubscribers, metricRooms, metricPublished, metricDelivered, metricOpened, metricClosed,
		metricRefused, metricRejected, metricReplayed, metricGaps, metricStore, metricStoreUp,
	}
)

func newMetric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("caddy", "sse_chat", name), help, append([]string{"hub"}, labels...), nil)
}

// registerMetrics has a configuration's registry show the hubs that it uses.
// What is counted lives in the hubs, and so outlives the configuration.
func registerMetrics(registry *prometheus.Registry) error {
	err := registry.Register(collector{registry})
	if _, already := errors.AsType[prometheus.AlreadyRegisteredError](err); already {
		return nil // by another handler
	}
	return err
}

// collector reads the counts of a configuration's hubs when it is asked, so
// that nothing is done for metrics in between.
type collector struct{ config any }

// Describe implements [prometheus.Collector].
func (collector) Describe(to chan<- *prometheus.Desc) {
	for _, metric := range allMetrics {
		to <- metric
	}
}

// Collect implements [prometheus.Collector].
func (c collector) Collect(to chan<- prometheus.Metric) {
	for _, hub := range hubsOf(c.config) {
		collect(to, hub.key.name, hub.broker)
	}
}

func collect(to chan<- prometheus.Metric, hub string, b *broker) {
	send := func(metric *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(metric, kind, value, append([]string{hub}, labels...)...)
	}
	tell := func(metric *prometheus.Desc, t *tally) {
		for reason, n := range t.byReason() {
			send(metric, prometheus.CounterValue, float64(n), reason)
		}
	}
	c := &b.counts
	send(metricSubscribers, prometheus.GaugeValue, float64(c.subscribers.Load()))
	send(metricRooms, prometheus.GaugeValue, float64(b.roomsRead()))
	send(metricPublished, prometheus.CounterValue, float64(c.published.Load()))
	delivered, replayed := c.delivered()
	send(metricDelivered, prometheus.CounterValue, float64(delivered))
	send(metricReplayed, prometheus.CounterValue, float64(replayed))
	send(metricOpened, prometheus.CounterValue, float64(c.opened.Load()))
	tell(metricClosed, &c.closed)
	tell(metricRefused, &c.refused)
	tell(metricRejected, &c.rejected)
	tell(metricGaps, &c.gaps)
	up := 0.0
	if b.health.up() {
		up = 1
	}
	send(metricStoreUp, prometheus.GaugeValue, up)
	buckets, count, sum := c.appends.cumulative()
	to <- prometheus.MustNewConstHistogram(metricStore, count, sum.Seconds(), buckets, hub)
}

// Interface guard
var _ prometheus.Collector = collector{}
