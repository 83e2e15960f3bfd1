package ssechat

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/logroute"
)

// errorRoute precedes a server's own error routes. It answers the handler's errors
// with a JSON body where none of those routes writes one.
//
// The handler cannot do that itself: writers around it that buffer answers drop
// what it writes before it returns an error, and the server writes a status once
// more.
type errorRoute struct {
	logger *zap.Logger
	// caddyLog is the log in which the server logs handlers' errors.
	caddyLog *zap.Logger
	// noOthers is set if the server has no error routes of its own.
	noOthers bool
}

// addErrorRoute adds the route to a server that has not compiled its error routes
// yet. It does nothing for a handler in a named route, which is provisioned later.
func addErrorRoute(ctx caddy.Context, server *caddyhttp.Server) {
	// a route drops its raw form once all its handlers are provisioned
	early := slices.ContainsFunc(server.Routes, func(r caddyhttp.Route) bool { return r.HandlersRaw != nil })
	if !early || server.Errors != nil && len(server.Errors.Routes) > 0 && isErrorRoute(server.Errors.Routes[0]) {
		return
	}
	if server.Errors == nil {
		server.Errors = new(caddyhttp.HTTPErrorConfig)
	}
	route := &errorRoute{
		logger:   ctx.Logger(),
		caddyLog: ctx.Logger(new(caddyhttp.App)).Named("log.error"),
		noOthers: len(server.Errors.Routes) == 0,
	}
	first := caddyhttp.Route{Handlers: []caddyhttp.MiddlewareHandler{route}}
	server.Errors.Routes = append(caddyhttp.RouteList{first}, server.Errors.Routes...)
}

func isErrorRoute(r caddyhttp.Route) bool {
	if len(r.Handlers) == 0 {
		return false
	}
	_, ok := r.Handlers[0].(*errorRoute)
	return ok
}

// ServeHTTP implements [caddyhttp.MiddlewareHandler].
func (e *errorRoute) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	err, _ := r.Context().Value(caddyhttp.ErrorCtxKey).(error)
	if _, own := errors.AsType[*ownError](err); !own {
		if e.noOthers {
			e.logOther(r, err)
		}
		return next.ServeHTTP(w, r)
	}
	answer, _ := errors.AsType[caddyhttp.HandlerError](err)
	held := &heldWriter{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}}
	routeErr := next.ServeHTTP(held, r)
	switch {
	case held.sent:
		return routeErr
	case routeErr != nil:
		e.logger.Error("error handling handler error", zap.Error(routeErr), zap.NamedError("first_error", err))
	case held.status != 0:
		answer.StatusCode = held.status
	}
	writeError(w, answer)
	return nil
}

// logOther logs the error of another handler as a server without error routes
// would. A server with such routes does not log errors that they have answered.
func (e *errorRoute) logOther(r *http.Request, err error) {
	if err == nil {
		return
	}
	status, message := http.StatusInternalServerError, err.Error()
	fields := []zap.Field{zap.Error(err)}
	if handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err); ok {
		status = handlerErr.StatusCode
		if handlerErr.Err != nil {
			message = handlerErr.Err.Error()
		}
		fields = []zap.Field{zap.Int("status", status), zap.String("err_id", handlerErr.ID), zap.String("err_trace", handlerErr.Trace)}
	}
	if status < http.StatusInternalServerError {
		return // the server logs these itself at debug level
	}
	request := caddyhttp.LoggableHTTPRequest{Request: r}
	names := []string{""}
	if server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok && server.Logs != nil {
		request.ShouldLogCredentials = server.Logs.ShouldLogCredentials
		if site := logroute.SiteOf(server, r); len(site.InitialLoggers) > 0 {
			names = site.InitialLoggers
		}
	}
	fields = append([]zap.Field{zap.Object("request", request), zap.Duration("duration", time.Since(requestStart(r.Context())))}, fields...)
	for _, name := range names {
		if c := e.caddyLog.Named(name).Check(zapcore.ErrorLevel, message); c != nil {
			c.Write(fields...)
		}
	}
}
