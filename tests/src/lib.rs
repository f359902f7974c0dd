//! The end-to-end harness: golden cases, sent through every front door.
//!
//! A case is a file: a request, and the answer that every front door must give to it. Each route group keeps its own
//! under `functions/<group>/tests/cases`, and runs them with [`front_doors!`]. `UPDATE_GOLDEN=1 cargo test tcp` writes
//! the answers of the TCP server into the files; read the difference before you commit it.

// A harness speaks to the person who broke a test: a panic with a sentence is its way to fail.
#![allow(clippy::missing_panics_doc, clippy::expect_used)]

pub mod alarm;
pub mod case;
pub mod coding;
pub mod collector;
pub mod container;
pub mod dashboard;
pub mod door;
pub mod emf;
pub mod emulator;
pub mod event;
pub mod filter;
pub mod golden;
pub mod logs;
pub mod metric;
pub mod server;
pub mod template;

/// Declares one test for each front door: all cases of this package, sent to its own Lambda binary, and to the TCP server
/// with its own tables and with a service in their place.
#[macro_export]
macro_rules! front_doors {
    ($binary:literal) => {
        $crate::front_doors!(@one $binary, tcp, $crate::door::Door::Tcp);
        $crate::front_doors!(@one $binary, upstreams, $crate::door::Door::Upstreams);
        $crate::front_doors!(@lambda $binary, apigw_v1 ApigwV1, apigw_v2 ApigwV2, apigw_v2_stage ApigwV2Stage,
            alb Alb, alb_multi_value AlbMultiValue, function_url FunctionUrl);
    };
    (@lambda $binary:literal, $($name:ident $source:ident),+) => {
        $($crate::front_doors!(@one $binary, $name, $crate::door::Door::Lambda($crate::event::Source::$source));)+
    };
    (@one $binary:literal, $name:ident, $door:expr) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");
            let binary = env!(concat!("CARGO_BIN_EXE_", $binary));
            $crate::golden::run($door, binary.as_ref(), cases.as_ref()).await;
        }
    };
}
