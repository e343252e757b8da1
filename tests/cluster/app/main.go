// Copyright (c) 2026, the cutover.bluegreen contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The application that the tests on a real node release: a small HTTP server that
// tells its version, counts its connections, and ends as its environment says.
//
//	app          serve
//	app drain    ask the server of this container to drain
//	app pause    do nothing until told to end, as the first process of a pod
//
// Environment: VERSION; PORTS ("8080,8081", default 8080); SHUTDOWN, what SIGTERM does:
// "graceful" (default) or "abrupt"; GRACE_SECONDS, how long a graceful end may take
// (default 25); QUIET_SECONDS, how long no client has to be connected before it
// (default 2: Service proxies still send connections to a pod that was told to end).
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	verb := "serve"
	if len(os.Args) > 1 {
		verb = os.Args[1]
	}
	switch verb {
	case "serve":
		serve()
	case "drain":
		askToDrain()
	case "pause":
		pause()
	default:
		log.Fatalf("unknown command %q: expected serve, drain or pause", verb)
	}
}

func ports() []string {
	return strings.Split(setting("PORTS", "8080"), ",")
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func seconds(name, otherwise string) time.Duration {
	value, err := strconv.ParseFloat(setting(name, otherwise), 64)
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	return time.Duration(value * float64(time.Second))
}

// connection is one client's. A connection that only asked about the server itself
// (kubelet's probes, a reader of /connections) is nobody's who would miss it.
type connection struct {
	aboutServer atomic.Bool
}

type app struct {
	version     string
	pod         string
	requests    atomic.Int64
	inFlight    atomic.Int64
	draining    atomic.Bool
	unready     atomic.Bool
	mutex       sync.Mutex
	connections map[net.Conn]*connection
}

type connectionKey struct{}

func serve() {
	pod, _ := os.Hostname()
	a := &app{
		version:     setting("VERSION", "unknown"),
		pod:         pod,
		connections: map[net.Conn]*connection{},
	}
	server := &http.Server{Handler: a.routes(), ConnState: a.follow, ConnContext: a.know}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	for _, port := range ports() {
		// Without an address: IPv4 and, where the node has it, IPv6.
		listener, err := net.Listen("tcp", ":"+port)
		if err != nil {
			log.Fatal(err)
		}
		go func() { log.Fatal(server.Serve(listener)) }()
	}
	<-ended
	if setting("SHUTDOWN", "graceful") == "graceful" {
		a.draining.Store(true)
		a.waitForClients(seconds("GRACE_SECONDS", "25"), seconds("QUIET_SECONDS", "2"))
	}
}

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", a.counted(a.answer))
	mux.HandleFunc("/slow", a.counted(a.answerSlowly))
	mux.HandleFunc("/drain", a.about(func(w http.ResponseWriter, _ *http.Request) {
		a.draining.Store(true)
		a.writeConnections(w)
	}))
	mux.HandleFunc("/connections", a.about(func(w http.ResponseWriter, _ *http.Request) {
		a.writeConnections(w)
	}))
	mux.HandleFunc("/metrics", a.about(a.metrics))
	mux.HandleFunc("/readyz", a.about(a.readyz))
	mux.HandleFunc("/readyz/fail", a.about(func(w http.ResponseWriter, _ *http.Request) {
		a.unready.Store(true)
		fmt.Fprintln(w, "not ready from now on")
	}))
	return mux
}

// counted wraps what users ask for.
func (a *app) counted(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Context().Value(connectionKey{}).(*connection).aboutServer.Store(false)
		a.requests.Add(1)
		a.inFlight.Add(1)
		defer a.inFlight.Add(-1)
		handle(w, r)
	}
}

// about wraps what is asked about the server itself.
func (a *app) about(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Context().Value(connectionKey{}).(*connection).aboutServer.Store(true)
		a.sayClose(w)
		handle(w, r)
	}
}

// sayClose tells the client, while draining, that this is its connection's last
// answer; net/http closes the connection after it. Asked as late as possible.
func (a *app) sayClose(w http.ResponseWriter) {
	if a.draining.Load() {
		w.Header().Set("Connection", "close")
	}
}

func (a *app) answer(w http.ResponseWriter, _ *http.Request) {
	a.sayClose(w)
	writeJSON(w, map[string]any{
		"version": a.version, "pod": a.pod, "requests": a.requests.Load(),
	})
}

func (a *app) answerSlowly(w http.ResponseWriter, r *http.Request) {
	milliseconds, err := strconv.Atoi(r.URL.Query().Get("ms"))
	if err != nil || milliseconds < 0 {
		http.Error(w, "expected /slow?ms=<a number of milliseconds>", http.StatusBadRequest)
		return
	}
	select {
	case <-time.After(time.Duration(milliseconds) * time.Millisecond):
		a.answer(w, r)
	case <-r.Context().Done():
	}
}

func (a *app) readyz(w http.ResponseWriter, _ *http.Request) {
	if a.unready.Load() {
		http.Error(w, "not ready, as it was told", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (a *app) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	fmt.Fprintf(w, "# TYPE app_open_connections gauge\napp_open_connections %d\n", a.clients())
	fmt.Fprintf(w, "# TYPE app_requests_in_flight gauge\napp_requests_in_flight %d\n", a.inFlight.Load())
	fmt.Fprintf(w, "# TYPE app_requests_total counter\napp_requests_total %d\n", a.requests.Load())
}

func (a *app) writeConnections(w http.ResponseWriter) {
	writeJSON(w, map[string]any{
		"open": a.clients(), "in_flight": a.inFlight.Load(), "draining": a.draining.Load(),
	})
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		log.Print(err)
	}
}

// know is called for each new connection before its first state.
func (a *app) know(ctx context.Context, conn net.Conn) context.Context {
	known := &connection{}
	a.mutex.Lock()
	a.connections[conn] = known
	a.mutex.Unlock()
	return context.WithValue(ctx, connectionKey{}, known)
}

func (a *app) follow(conn net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		a.mutex.Lock()
		delete(a.connections, conn)
		a.mutex.Unlock()
	}
}

// clients counts the open connections but those that asked about the server only.
func (a *app) clients() int {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	count := 0
	for _, one := range a.connections {
		if !one.aboutServer.Load() {
			count++
		}
	}
	return count
}

// waitForClients returns when no client has been connected for `quiet`, at the latest
// after `grace`; clients are still served meanwhile.
func (a *app) waitForClients(grace, quiet time.Duration) {
	deadline := time.Now().Add(grace)
	lastSeen := time.Now()
	for now := range time.Tick(10 * time.Millisecond) {
		if a.clients() > 0 {
			lastSeen = now
		}
		if now.After(deadline) || now.Sub(lastSeen) > quiet {
			return
		}
	}
}

func askToDrain() {
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get("http://" + net.JoinHostPort("127.0.0.1", ports()[0]) + "/drain")
	if err != nil {
		log.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		log.Fatalf("the server answered %s", response.Status)
	}
}

func pause() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	<-ended
}
