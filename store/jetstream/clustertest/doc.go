// Package clustertest proves the JetStream store with real NATS servers, which
// its tests run in their own process. It is a module of its own, so that users
// of the store inherit no server.
package clustertest
