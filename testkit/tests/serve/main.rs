//! The cloud on real sockets, in real time.

mod calls;
mod client;
mod connections;
mod faults;
mod sizes;
mod subscriptions;
mod tls;
