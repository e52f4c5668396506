//! What a network makes of each category: precision, recall, F1, and who is taken for whom.

use std::fmt::Write;

use anyhow::Result;

use super::numbers::{escape, share};
use super::run::{Means, Quality};

/// Both tables of one network.
pub fn tables(quality: &Quality) -> Result<String> {
    Ok(format!(
        "<div class=pair>{}{}</div>",
        per_category(quality)?,
        confusion(quality)?
    ))
}

/// Precision, recall, F1 and number of photos.
fn per_category(quality: &Quality) -> Result<String> {
    let mut html = String::from(
        "<div class=scroll><table><thead><tr><th>category<th>precision<th>recall<th>F1<th>photos</thead><tbody>",
    );
    for label in &quality.metrics.labels {
        write!(html, "<tr><th>{}", escape(label))?;
        match quality.metrics.per_class.get(label) {
            Some(class) => write!(
                html,
                "<td>{}<td>{}<td>{}<td>{}",
                share(class.precision),
                share(class.recall),
                share(class.f1),
                class.support
            )?,
            None => html.push_str("<td>–<td>–<td>–<td>–"),
        }
    }
    html.push_str("<tbody class=means>");
    let photos = quality.metrics.photos;
    for (name, means) in [
        ("mean", quality.mean),
        ("mean by photos", quality.mean_by_photos),
    ] {
        let Means {
            precision,
            recall,
            f1,
        } = means;
        write!(
            html,
            "<tr><th>{name}<td>{}<td>{}<td>{}<td>{photos}",
            share(precision),
            share(recall),
            share(f1)
        )?;
    }
    html.push_str("</table></div>");
    Ok(html)
}

/// Photos by true and predicted category, coloured by their share of the row.
fn confusion(quality: &Quality) -> Result<String> {
    let labels = &quality.metrics.labels;
    let mut html = String::from(
        "<div class=scroll><table class=heat><caption>Rows: what it is. Columns: what it was taken for.</caption>\
         <thead><tr><td>",
    );
    for label in labels {
        write!(html, "<th><span>{}</span>", escape(label))?;
    }
    html.push_str("</thead><tbody>");
    for (row, (label, counts)) in labels.iter().zip(&quality.metrics.confusion).enumerate() {
        let photos = counts.iter().sum::<u64>().max(1) as f64;
        write!(html, "<tr><th>{}", escape(label))?;
        for (column, &count) in counts.iter().enumerate() {
            if count == 0 {
                html.push_str("<td>");
                continue;
            }
            // A root, so that a photo or two among many are seen.
            let shade = (count as f64 / photos).sqrt();
            let right = if row == column { "right" } else { "wrong" };
            let dark = if shade > 0.6 { " dark" } else { "" };
            write!(
                html,
                "<td class='{right}{dark}' style='--shade:{shade:.2}'>{count}"
            )?;
        }
    }
    html.push_str("</table></div>");
    Ok(html)
}
