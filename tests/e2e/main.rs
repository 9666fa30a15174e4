//! End-to-end walks on real hosts, with the stock clients. `tests/run` starts the lab that they need;
//! by hand: `eval "$(tests/lab/up)"; cargo test --test e2e`.

mod generic;
mod hosts;
mod short;
mod support;
mod walk;
