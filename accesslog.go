package ssechat

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/logroute"
)

// The fields that this module adds to a request's line in the access log.

// logRooms logs the rooms of a request.
func logRooms(r *http.Request, rooms ...string) {
	addLogFields(r, roomField(rooms))
}

func roomField(rooms []string) zap.Field { return zap.String("room", strings.Join(rooms, ",")) }

// logStream logs what a stream that has ended was sent, and the reason.
func logStream(r *http.Request, s *hub.Subscriber, reason string) {
	addLogFields(r, streamFields(s, reason)...)
}

func streamFields(s *hub.Subscriber, reason string) []zap.Field {
	messages, bytes := s.Total()
	return []zap.Field{zap.Uint64("sse_events", messages), zap.Uint64("sse_bytes", bytes), zap.String("sse_reason", reason)}
}

// logNoStream logs why a stream was refused.
func logNoStream(r *http.Request, reason string) {
	addLogFields(r, zap.String("sse_reason", reason))
}

func addLogFields(r *http.Request, fields ...zap.Field) {
	extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields)
	if !ok {
		return
	}
	for _, field := range fields {
		extra.Add(field)
	}
}

// accessLine is the access log line of a parked stream. Caddy writes a line when a
// handler returns, which for a parked stream is long before its end, so this module
// writes it, in the same form.
type accessLine struct {
	begin   time.Time
	hub     *openHub
	log     *zap.Logger // from the configuration under which the stream began
	site    logroute.Site
	level   zapcore.Level
	user    string
	request caddyhttp.LoggableHTTPRequest
	answer  caddyhttp.LoggableHTTPHeader
}

// takeAccessLine makes Caddy skip a request's line and returns it for later. It
// returns nil if there would be none.
func takeAccessLine(r *http.Request, answer http.Header, hub *openHub, log *zap.Logger) *accessLine {
	ctx := r.Context()
	server, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if server == nil {
		return nil
	}
	site := logroute.SiteOf(server, r)
	if len(site.InitialLoggers) == 0 {
		return nil
	}
	if skip, _ := caddyhttp.GetVar(ctx, caddyhttp.LogSkipVar).(bool); skip {
		return nil
	}
	caddyhttp.SetVar(ctx, caddyhttp.LogSkipVar, true)
	repl := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	user, _ := repl.GetString("http.auth.user.id")
	credentials := server.Logs.ShouldLogCredentials
	return &accessLine{
		begin:   requestStart(ctx),
		hub:     hub,
		log:     log,
		site:    site,
		level:   accessLevel(ctx),
		user:    user,
		request: caddyhttp.LoggableHTTPRequest{Request: onlyForLog(r), ShouldLogCredentials: credentials},
		answer:  caddyhttp.LoggableHTTPHeader{Header: maps.Clone(answer), ShouldLogCredentials: credentials},
	}
}

// write writes the line of a stream that has ended.
func (l *accessLine) write(s *hub.Subscriber) {
	access, names := l.destination()
	_, size := s.Total()
	fields := append(streamFields(s, s.Over()),
		zap.Int("bytes_read", 0),
		zap.String("user_id", l.user),
		zap.Duration("duration", time.Since(l.begin)),
		zap.Uint64("size", size),
		zap.Int("status", http.StatusOK),
		zap.Object("resp_headers", l.answer),
		roomField(s.RoomNames()),
	)
	access = access.With(zap.Object("request", l.request))
	for _, name := range names {
		if c := access.Named(name).Check(l.level, "handled request"); c != nil {
			c.Write(fields...)
		}
	}
}

// destination returns the logger and the names to log under. The loggers of the
// configuration under which the stream began may be closed.
func (l *accessLine) destination() (access *zap.Logger, names []string) {
	config, ok := configInForce(l.hub)
	if !ok {
		return l.log, l.site.InitialLoggers
	}
	app, _ := config.AppIfConfigured("http")
	server, _ := app.(*caddyhttp.App)
	names, credentials := l.site.Loggers(server)
	l.request.ShouldLogCredentials = l.request.ShouldLogCredentials && credentials
	l.answer.ShouldLogCredentials = l.answer.ShouldLogCredentials && credentials
	return accessLogOf(config), names
}

// accessLogOf returns the access logger of a configuration.
func accessLogOf(ctx caddy.Context) *zap.Logger {
	return ctx.Logger(new(caddyhttp.App)).Named("log.access")
}

// requestStart returns when Caddy received the request.
func requestStart(ctx context.Context) time.Time {
	if t, ok := caddyhttp.GetVar(ctx, "start_time").(time.Time); ok {
		return t
	}
	return time.Now()
}

// onlyForLog returns a copy of a request with what is logged only, so that nothing
// else of it is kept in memory.
func onlyForLog(r *http.Request) *http.Request {
	first := *r
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		first = original
	}
	ctx := context.WithValue(context.Background(), caddyhttp.VarsCtxKey, map[string]any{caddyhttp.ClientIPVarKey: clientIP(r)})
	return (&http.Request{
		Method:           first.Method,
		RequestURI:       first.RequestURI,
		RemoteAddr:       first.RemoteAddr,
		Proto:            r.Proto,
		Host:             r.Host,
		Header:           r.Header,
		TransferEncoding: r.TransferEncoding,
	}).WithContext(ctx)
}

// accessLevel returns the level that log_level has set for the request, or info.
func accessLevel(ctx context.Context) zapcore.Level {
	if name, ok := caddyhttp.GetVar(ctx, caddyhttp.LogLevelVar).(string); ok {
		if level, err := zapcore.ParseLevel(name); err == nil && level >= zapcore.DebugLevel && level <= zapcore.ErrorLevel {
			return level
		}
	}
	return zapcore.InfoLevel
}
