//! Embedded colour profiles: which of them change anything, and which cannot be followed.
//!
//! Phones write sRGB or Display P3. P3 is converted; any other profile is named in the photo's notes
//! and its numbers are taken as sRGB's, as without a profile.
//! Reference: ICC.1:2022.

use moxcms::{ColorProfile, DataColorSpace};

/// What is done about a profile.
#[derive(Debug, PartialEq)]
pub(super) enum Profile {
    Srgb,
    DisplayP3,
    /// By its name, or what is said of one that cannot be read.
    Other(String),
}

/// Red, green and blue of the two spaces as profiles state them: XYZ under D50.
const SRGB: [[f64; 3]; 3] = [
    [0.4361, 0.2225, 0.0139],
    [0.3851, 0.7169, 0.0971],
    [0.1431, 0.0606, 0.7141],
];
const DISPLAY_P3: [[f64; 3]; 3] = [
    [0.5151, 0.2412, -0.0011],
    [0.2920, 0.6922, 0.0419],
    [0.1571, 0.0666, 0.7841],
];

/// Colorants are the same where they differ by less: profiles round theirs in various ways.
const TOLERANCE: f64 = 0.003;

/// What the profile in `bytes` is.
pub(super) fn recognize(bytes: &[u8]) -> Profile {
    let Ok(profile) = ColorProfile::new_from_slice(bytes) else {
        return Profile::Other("unreadable".into());
    };
    let name = || match &profile.description {
        Some(moxcms::ProfileText::PlainString(text)) => text.clone(),
        Some(moxcms::ProfileText::Localizable(texts)) => texts
            .first()
            .map(|text| text.value.clone())
            .unwrap_or_default(),
        Some(moxcms::ProfileText::Description(text)) => text.ascii_string.clone(),
        None => String::new(),
    };
    let other = || {
        let name: String = name()
            .chars()
            .filter(|c| !c.is_control())
            .take(80)
            .collect();
        let name = name.trim();
        Profile::Other(if name.is_empty() {
            "unnamed".into()
        } else {
            name.to_owned()
        })
    };
    // Grey photos have grey profiles, whose curves are near sRGB's.
    if profile.color_space == DataColorSpace::Gray {
        return Profile::Srgb;
    }
    if profile.color_space != DataColorSpace::Rgb {
        return other();
    }
    let colorants = [
        profile.red_colorant,
        profile.green_colorant,
        profile.blue_colorant,
    ];
    let near = |space: &[[f64; 3]; 3]| {
        colorants.iter().zip(space).all(|(colorant, wanted)| {
            let found = [colorant.x, colorant.y, colorant.z];
            found
                .iter()
                .zip(wanted)
                .all(|(a, b)| (a - b).abs() < TOLERANCE)
        })
    };
    if near(&SRGB) {
        Profile::Srgb
    } else if near(&DISPLAY_P3) {
        Profile::DisplayP3
    } else {
        other()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_known_by_their_colorants() {
        let encoded = |profile: ColorProfile| profile.encode().expect("encodes");
        assert_eq!(recognize(&encoded(ColorProfile::new_srgb())), Profile::Srgb);
        assert_eq!(
            recognize(&encoded(ColorProfile::new_display_p3())),
            Profile::DisplayP3
        );
        let adobe = recognize(&encoded(ColorProfile::new_adobe_rgb()));
        assert!(
            matches!(&adobe, Profile::Other(name) if name.contains("Adobe")),
            "{adobe:?}"
        );
        assert_eq!(
            recognize(b"no profile"),
            Profile::Other("unreadable".into())
        );
    }
}
