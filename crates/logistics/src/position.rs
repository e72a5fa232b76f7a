//! Where something is on the earth: WGS 84, distances along the great circle, geohashes.
//!
//! Degrees are kept in ten-millionths (about a centimetre), so that positions compare, hash and survive the store exactly.

use trunkline_model::FieldError;

/// Ten-millionths in one degree.
const PER_DEGREE: f64 = 10_000_000.0;
/// Mean radius of the earth in metres.
const EARTH_RADIUS_M: f64 = 6_371_008.8;
/// The letters of geohashes.
const GEOHASH_DIGITS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
/// Characters of the geohash of a proof: cells of about five by five metres.
pub const GEOHASH_LEN: usize = 9;

/// A position on the earth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    lat_e7: i32,
    lon_e7: i32,
}

/// Coordinates that are no position.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("a latitude is -90 to 90 degrees, a longitude -180 to 180")]
pub struct InvalidPosition;

impl Position {
    /// Takes degrees.
    pub fn from_degrees(lat: f64, lon: f64) -> Result<Self, InvalidPosition> {
        let is_valid = lat.is_finite() && lon.is_finite() && lat.abs() <= 90.0 && lon.abs() <= 180.0;
        if !is_valid {
            return Err(InvalidPosition);
        }
        Ok(Self {
            lat_e7: libm::round(lat * PER_DEGREE) as i32,
            lon_e7: libm::round(lon * PER_DEGREE) as i32,
        })
    }

    /// Takes the stored form.
    pub fn from_e7(lat_e7: i64, lon_e7: i64) -> Result<Self, InvalidPosition> {
        Self::from_degrees(lat_e7 as f64 / PER_DEGREE, lon_e7 as f64 / PER_DEGREE)
    }

    /// Latitude in ten-millionths of a degree.
    pub fn lat_e7(self) -> i64 {
        i64::from(self.lat_e7)
    }

    /// Longitude in ten-millionths of a degree.
    pub fn lon_e7(self) -> i64 {
        i64::from(self.lon_e7)
    }

    /// Latitude in degrees.
    pub fn lat(self) -> f64 {
        f64::from(self.lat_e7) / PER_DEGREE
    }

    /// Longitude in degrees.
    pub fn lon(self) -> f64 {
        f64::from(self.lon_e7) / PER_DEGREE
    }

    /// The distance along the great circle in metres (haversine; the earth as a ball is wrong by up to 0.5 %).
    pub fn distance_m(self, other: Self) -> f64 {
        let (lat1, lat2) = (self.lat().to_radians(), other.lat().to_radians());
        let half_lat = libm::sin((lat2 - lat1) / 2.0);
        let half_lon = libm::sin((other.lon() - self.lon()).to_radians() / 2.0);
        let h = half_lat * half_lat + libm::cos(lat1) * libm::cos(lat2) * half_lon * half_lon;
        2.0 * EARTH_RADIUS_M * libm::asin(libm::sqrt(h.clamp(0.0, 1.0)))
    }

    /// The geohash with this many characters, at most twelve.
    pub fn geohash(self, n_chars: usize) -> String {
        let (mut lat, mut lon) = ((-90.0, 90.0), (-180.0, 180.0));
        let mut text = String::new();
        let mut is_lon = true;
        for _ in 0..n_chars.min(12) {
            let mut digit = 0;
            for _ in 0..5 {
                let (range, value): (&mut (f64, f64), f64) =
                    if is_lon { (&mut lon, self.lon()) } else { (&mut lat, self.lat()) };
                let middle = f64::midpoint(range.0, range.1);
                digit = digit * 2 + usize::from(value >= middle);
                if value >= middle {
                    range.0 = middle;
                } else {
                    range.1 = middle;
                }
                is_lon = !is_lon;
            }
            text.push(char::from(GEOHASH_DIGITS[digit]));
        }
        text
    }

    /// Reads degrees that a caller sent, noting a fault for each that cannot be.
    pub fn check(lat: f64, lon: f64, pointer: &str, faults: &mut Vec<FieldError>) -> Option<Self> {
        for (name, value, max) in [("lat", lat, 90.0), ("lon", lon, 180.0)] {
            if !(value.is_finite() && value.abs() <= max) {
                let detail = format!("must be -{max} to {max} degrees");
                faults.push(FieldError::new(format!("{pointer}/{name}"), "out_of_range", detail));
            }
        }
        Self::from_degrees(lat, lon).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(lat: f64, lon: f64) -> Position {
        Position::from_degrees(lat, lon).unwrap()
    }

    #[test]
    fn known_distances_and_hashes() {
        let (paris, london) = (at(48.8566, 2.3522), at(51.5074, -0.1278));
        assert!((paris.distance_m(london) - 343_556.0).abs() < 500.0, "{}", paris.distance_m(london));
        assert!((at(0.0, 179.9999).distance_m(at(0.0, -179.9999)) - 22.2).abs() < 0.3);
        // The example of the scheme's author.
        assert_eq!(at(57.64911, 10.40744).geohash(11), "u4pruydqqvj");
        assert_eq!(at(-90.0, -180.0).geohash(3), "000");
        assert_eq!(at(90.0, 180.0).geohash(3), "zzz");
        let nowhere = [(91.0, 0.0), (0.0, 180.1), (f64::NAN, 0.0), (0.0, f64::INFINITY)];
        assert!(nowhere.into_iter().all(|(lat, lon)| Position::from_degrees(lat, lon).is_err()));
    }

    proptest! {
        #[test]
        fn distances_are_a_metric(a in (-90.0..90.0, -180.0..180.0), b in (-90.0..90.0, -180.0..180.0)) {
            let (a, b) = (at(a.0, a.1), at(b.0, b.1));
            let distance = a.distance_m(b);
            prop_assert!((0.0..=20_015_200.0).contains(&distance));
            prop_assert!((distance - b.distance_m(a)).abs() < 1e-6);
            prop_assert!(a.distance_m(a) < 1e-9);
            prop_assert_eq!(Position::from_e7(a.lat_e7(), a.lon_e7()), Ok(a));
        }
    }
}
