//! Cost against requests a second, as a picture.

use std::error::Error;

use plotters::prelude::*;

use crate::{
    inputs::Inputs,
    model::{Plan, Sizes, bill},
};

const WIDTH: u32 = 960;
const HEIGHT: u32 = 560;
const LEAST: f64 = 1.0;
const MOST: f64 = 10_000.0;
/// Points of a line.
const STEPS: i32 = 240;

/// The picture, as SVG.
pub(crate) fn draw(inputs: &Inputs, sizes: Sizes) -> Result<String, Box<dyn Error>> {
    let mut picture = String::new();
    let root = SVGBackend::with_string(&mut picture, (WIDTH, HEIGHT)).into_drawing_area();
    root.fill(&WHITE)?;
    let title = format!(
        "US dollars a month by requests a second ({}, {}; functions of {} MB, tasks of {} vCPU)",
        inputs.prices.region, inputs.prices.date, sizes.lambda_mb, sizes.task_vcpu
    );
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d((LEAST..MOST).log_scale(), (1.0..100_000.0).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("requests a second, day and night")
        .y_desc("front door, compute, network, logs, metrics, traces")
        .x_label_formatter(&|rps| format!("{rps:.0}"))
        .y_label_formatter(&|cost| format!("{cost:.0}"))
        .light_line_style(WHITE)
        .draw()?;
    for (plan, colour) in Plan::ALL.into_iter().zip(colours()) {
        let cost = |rps: f64| (rps, bill(inputs, sizes, plan, rps).total());
        let step = (MOST / LEAST).powf(f64::from(STEPS).recip());
        let line = LineSeries::new((0..=STEPS).map(|n| cost(LEAST * step.powi(n))), colour.stroke_width(2));
        chart
            .draw_series(line)?
            .label(plan.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    root.present()?;
    drop(chart);
    drop(root);
    Ok(picture)
}

/// Warm for Lambda, cold for Fargate; told apart with colour blindness too (the palette of Okabe and Ito).
const fn colours() -> [RGBColor; 6] {
    [
        RGBColor(213, 94, 0),
        RGBColor(230, 159, 0),
        RGBColor(204, 121, 167),
        RGBColor(0, 0, 0),
        RGBColor(0, 114, 178),
        RGBColor(0, 158, 115),
    ]
}
