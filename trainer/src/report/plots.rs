//! Line charts over epochs or layers, as SVG inside the page.
//!
//! Lines have colours that are seen on light and on dark; words, axes and grid take the page's (`style`), and the legend
//! is the page's too, because words in a picture shrink with it on a phone.

use std::fmt::{Display, Write};

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::numbers::escape;

/// One line.
pub struct Line<'a> {
    /// What it is.
    pub name: &'a str,
    /// Its colour, of [`COLOURS`].
    pub colour: RGBColor,
    /// A value an epoch or a layer, from the first.
    pub values: Vec<f64>,
}

/// What a chart's values are.
#[derive(Clone, Copy, PartialEq)]
pub enum Unit {
    /// 0 to 1, shown in per cent.
    Share,
    /// Whole decibels.
    Decibels,
    /// As it is.
    Plain,
}

/// Told apart by their lightness too.
pub const COLOURS: [RGBColor; 5] = [
    RGBColor(38, 120, 214),
    RGBColor(226, 112, 10),
    RGBColor(22, 158, 110),
    RGBColor(196, 62, 146),
    RGBColor(138, 118, 226),
];
/// For what stands behind.
pub const GREY: RGBColor = RGBColor(150, 150, 150);
/// Where there are more of them, points would hide the line.
const MOST_POINTS: usize = 30;

/// A chart of `size` pixels, `along` epochs or layers; where the page is narrower it shrinks. Empty where there is no value.
pub fn chart(
    title: &str,
    along: &str,
    unit: Unit,
    size: (u32, u32),
    lines: &[Line],
) -> Result<String> {
    let failed = |e: &dyn Display| anyhow!("cannot draw the curve of {title}: {e}");
    let values = || lines.iter().flat_map(|line| line.values.iter().copied());
    let (low, high) = values()
        .filter(|v| v.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
            (low.min(v), high.max(v))
        });
    if low > high {
        return Ok(String::new());
    }
    let margin = ((high - low) * 0.08).max(0.01);
    let top = match unit {
        Unit::Share => (high + margin).min(1.0),
        Unit::Decibels | Unit::Plain => high + margin,
    };
    let bottom = (low - margin).max(0.0).min(top - margin);
    let epochs = lines.iter().map(|l| l.values.len()).max().unwrap_or(0);
    // A single epoch stands in the middle.
    let (first, last) = match epochs {
        1 => (0, 2),
        _ => (1, epochs as i32),
    };
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin_top(8)
            .margin_right(14)
            .x_label_area_size(28)
            .y_label_area_size(54)
            .build_cartesian_2d(first..last, bottom..top)
            .map_err(|e| failed(&e))?;
        let epoch = |&x: &i32| match x {
            x if x < 1 || x as usize > epochs => String::new(),
            x => x.to_string(),
        };
        let value = |y: &f64| match unit {
            Unit::Share => format!("{:.0} %", 100.0 * y),
            Unit::Decibels => format!("{y:.0}"),
            Unit::Plain => format!("{y:.2}"),
        };
        let mesh = chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(epochs.clamp(3, 10))
            .y_labels(6)
            .x_label_formatter(&epoch)
            .y_label_formatter(&value)
            .label_style(("sans-serif", 16))
            .bold_line_style(GREY.mix(0.35))
            .light_line_style(TRANSPARENT)
            .axis_style(GREY.mix(0.7))
            .draw();
        mesh.map_err(|e| failed(&e))?;
        for line in lines {
            let points = || (1..).zip(line.values.iter().copied());
            let style = line.colour.stroke_width(2);
            chart
                .draw_series(LineSeries::new(points(), style))
                .map_err(|e| failed(&e))?;
            if line.values.len() <= MOST_POINTS {
                let radius = if epochs == 1 { 5 } else { 3 };
                let point = |at| Circle::new(at, radius, line.colour.filled());
                chart
                    .draw_series(points().map(point))
                    .map_err(|e| failed(&e))?;
            }
        }
        area.present().map_err(|e| failed(&e))?;
    }
    let label = format!(
        "<svg role=\"img\" aria-label=\"{} by {along}\" ",
        escape(title)
    );
    Ok(svg.replacen("<svg ", &label, 1))
}

/// Shares against shares, `x` from left to right and `y` upwards, and the line where both are the same. Under its title.
pub fn shares_against_shares(
    title: &str,
    [x, y]: [&str; 2],
    points: &[(f64, f64)],
    size: (u32, u32),
) -> Result<String> {
    let failed = |e: &dyn Display| anyhow!("cannot draw {title}: {e}");
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin_top(8)
            .margin_right(24)
            .x_label_area_size(52)
            .y_label_area_size(76)
            .build_cartesian_2d(0.0..1.0, 0.0..1.0)
            .map_err(|e| failed(&e))?;
        let percent = |share: &f64| format!("{:.0} %", 100.0 * share);
        let mesh = chart
            .configure_mesh()
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&percent)
            .y_label_formatter(&percent)
            .x_desc(x)
            .y_desc(y)
            .label_style(("sans-serif", 16))
            .axis_desc_style(("sans-serif", 16))
            .bold_line_style(GREY.mix(0.35))
            .light_line_style(TRANSPARENT)
            .axis_style(GREY.mix(0.7))
            .draw();
        mesh.map_err(|e| failed(&e))?;
        let same = LineSeries::new([(0.0, 0.0), (1.0, 1.0)], GREY.stroke_width(2));
        chart.draw_series(same).map_err(|e| failed(&e))?;
        let point = |&at: &(f64, f64)| Circle::new(at, 4, COLOURS[0].filled());
        chart
            .draw_series(points.iter().map(point))
            .map_err(|e| failed(&e))?;
        area.present().map_err(|e| failed(&e))?;
    }
    let title = escape(title);
    let label = format!("<svg role=\"img\" aria-label=\"{title}\" ");
    let svg = svg.replacen("<svg ", &label, 1);
    Ok(format!(
        "<figure><figcaption>{title}</figcaption>{svg}</figure>"
    ))
}

/// A chart under its title.
pub fn figure(
    title: &str,
    along: &str,
    unit: Unit,
    size: (u32, u32),
    lines: &[Line],
) -> Result<String> {
    let chart = chart(title, along, unit, size, lines)?;
    let title = escape(title);
    Ok(format!(
        "<figure><figcaption>{title}, by {along}</figcaption>{chart}</figure>"
    ))
}

/// Which line is which.
pub fn legend(lines: &[Line]) -> Result<String> {
    let mut html = String::from("<p class=legend>");
    for line in lines {
        let RGBColor(r, g, b) = line.colour;
        write!(
            html,
            "<span><i style='background:#{r:02x}{g:02x}{b:02x}'></i>{}</span>",
            escape(line.name)
        )?;
    }
    html.push_str("</p>");
    Ok(html)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: &[f64]) -> Line<'_> {
        Line {
            name: "a<b",
            colour: COLOURS[0],
            values: values.to_vec(),
        }
    }

    #[test]
    fn shares_lie_where_they_say() {
        let points = [(0.25, 0.5), (1.0, 1.0)];
        let svg = shares_against_shares("a<b", ["x", "y"], &points, (360, 320)).unwrap();
        assert!(svg.contains("a&lt;b") && svg.contains("100 %"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2);
        // The last point is where the line of equal shares ends: 24 px from the right, 8 px from above.
        assert!(svg.contains("cx=\"335\" cy=\"8\""), "{svg}");
    }

    #[test]
    fn one_epoch_is_a_point_and_none_is_nothing() {
        let size = (400, 240);
        let svg = chart("accuracy", "epoch", Unit::Share, size, &[line(&[0.5])]).unwrap();
        assert_eq!(svg.matches("<circle").count(), 1, "{svg}");
        assert_eq!(
            chart("loss", "epoch", Unit::Plain, size, &[line(&[])]).unwrap(),
            ""
        );
        let same = chart(
            "loss",
            "epoch",
            Unit::Plain,
            size,
            &[line(&[0.0, 0.0, f64::NAN])],
        );
        assert!(same.unwrap().contains("<svg"));
        assert!(legend(&[line(&[])]).unwrap().contains("a&lt;b"));
    }
}
