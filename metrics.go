package ssechat

import (
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/origin"
)

// rejectReason returns the reason, for metrics, why a request for /update was answered with
// an error, or "" if the publisher did not cause it.
func rejectReason(err caddyhttp.HandlerError) string {
	if _, ok := errors.AsType[*origin.UntrustedError](err.Err); ok {
		return hub.RejectCrossOrigin
	}
	switch err.StatusCode {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusRequestTimeout, http.StatusUnsupportedMediaType:
		return hub.RejectInvalid
	case http.StatusRequestEntityTooLarge:
		return hub.RejectTooLarge
	case http.StatusTooManyRequests:
		return hub.RejectTooFast
	case http.StatusServiceUnavailable:
		return hub.RejectStore
	default:
		return ""
	}
}

// The metrics. No label has a value that a client can choose.
var (
	metricSubscribers = newMetric("subscribers", "Open streams.")
	metricRooms       = newMetric("rooms", "Rooms with readers.")
	metricPublished   = newMetric("messages_published_total", "Messages stored, not counting repeats.")
	metricChanged     = newMetric("messages_changed_total", "Changes of messages, by kind: edit, append, react, unreact or delete.", "kind")
	metricDelivered   = newMetric("messages_delivered_total", "Messages delivered, counted once per reader, replays included.")
	metricOpened      = newMetric("streams_opened_total", "Streams opened.")
	metricClosed      = newMetric("streams_closed_total", "Streams closed, by reason.", "reason")
	metricRefused     = newMetric("streams_refused_total", "Streams refused, by reason. All but kicked ones are told to come back later.", "reason")
	metricRejected    = newMetric("publish_rejected_total", "Publish requests refused, by reason.", "reason")
	metricReplayed    = newMetric("replayed_total", "Messages delivered that are older than the stream, counted once per reader.")
	metricGaps        = newMetric("gaps_total", "Gap events sent to readers, by reason.", "reason")
	metricStore       = newMetric("store_seconds", "Time the store took for one request to publish or change, in seconds.")
	metricPushed      = newMetric("push_sent_total", "Messages that push services accepted, counted once per subscription.")
	metricPushFailed  = newMetric("push_failed_total", "Pushes that failed, by reason.", "reason")
	metricWebhookLag  = newMetric("webhook_lag_seconds", "Age of the oldest entry that the site of the webhook has not accepted, in seconds; 0 if there is none.")
	metricWebhookFail = newMetric("webhook_failures_total", "Requests of the webhook that were not accepted.")
	metricStoreUp     = newMetric("store_up", "1 if the last write to the store succeeded and the store is reachable, else 0.")

	allMetrics = []*prometheus.Desc{
		metricSubscribers, metricRooms, metricPublished, metricChanged, metricDelivered, metricOpened, metricClosed,
		metricRefused, metricRejected, metricReplayed, metricGaps, metricStore, metricStoreUp,
		metricPushed, metricPushFailed,
		metricWebhookLag, metricWebhookFail,
	}
)

func newMetric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("caddy", "sse_chat", name), help, append([]string{"hub"}, labels...), nil)
}

// registerMetrics registers the hubs of a configuration with its registry. The
// counters belong to the hubs, and so outlive the configuration.
func registerMetrics(registry *prometheus.Registry) error {
	err := registry.Register(collector{registry})
	if _, already := errors.AsType[prometheus.AlreadyRegisteredError](err); already {
		return nil // by another handler
	}
	return err
}

// collector reads the counters of a configuration's hubs when they are scraped, so
// that metrics cost nothing in between.
type collector struct{ config any }

// Describe implements [prometheus.Collector].
func (collector) Describe(to chan<- *prometheus.Desc) {
	for _, metric := range allMetrics {
		to <- metric
	}
}

// Collect implements [prometheus.Collector].
func (c collector) Collect(to chan<- prometheus.Metric) {
	for _, open := range hubsOf(c.config) {
		collect(to, open.key.name, open.hub)
	}
}

func collect(to chan<- prometheus.Metric, name string, h *openHub) {
	send := func(metric *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(metric, kind, value, append([]string{name}, labels...)...)
	}
	tell := func(metric *prometheus.Desc, t *hub.Tally) {
		for reason, n := range t.ByReason() {
			send(metric, prometheus.CounterValue, float64(n), reason)
		}
	}
	c := &h.Counts
	send(metricSubscribers, prometheus.GaugeValue, float64(c.Subscribers.Load()))
	send(metricRooms, prometheus.GaugeValue, float64(h.RoomsRead()))
	send(metricPublished, prometheus.CounterValue, float64(c.Published.Load()))
	tell(metricChanged, &c.Changed)
	delivered, replayed := c.Delivered()
	send(metricDelivered, prometheus.CounterValue, float64(delivered))
	send(metricReplayed, prometheus.CounterValue, float64(replayed))
	send(metricOpened, prometheus.CounterValue, float64(c.Opened.Load()))
	tell(metricClosed, &c.Closed)
	tell(metricRefused, &c.Refused)
	tell(metricRejected, &c.Rejected)
	tell(metricGaps, &c.Gaps)
	if sender := h.push.Load(); sender != nil {
		send(metricPushed, prometheus.CounterValue, float64(sender.Counts.Sent.Load()))
		for reason, n := range sender.Counts.Failed() {
			send(metricPushFailed, prometheus.CounterValue, float64(n), reason)
		}
	}
	up := 0.0
	if h.StoreUp() {
		up = 1
	}
	send(metricStoreUp, prometheus.GaugeValue, up)
	send(metricWebhookLag, prometheus.GaugeValue, h.webhook.Lag(time.Now()).Seconds())
	send(metricWebhookFail, prometheus.CounterValue, float64(h.webhook.Failures()))
	to <- histogramOf(c.Appends, metricStore, name)
}

// histogramOf returns the current state of a histogram as a metric with labels.
func histogramOf(h prometheus.Histogram, metric *prometheus.Desc, labels ...string) prometheus.Metric {
	var now dto.Metric
	if err := h.Write(&now); err != nil {
		return prometheus.NewInvalidMetric(metric, err)
	}
	buckets := make(map[float64]uint64)
	for _, b := range now.GetHistogram().GetBucket() {
		buckets[b.GetUpperBound()] = b.GetCumulativeCount()
	}
	return prometheus.MustNewConstHistogram(metric, now.GetHistogram().GetSampleCount(), now.GetHistogram().GetSampleSum(), buckets, labels...)
}

// Interface guard
var _ prometheus.Collector = collector{}
