//! A product as the store has it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::{delta::Entity, values::Money};

/// The stored entity. Its id and version stand beside it in the row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Product {
    /// Name.
    pub name: String,
    /// A paragraph of plain text.
    pub description: String,
    /// The category that it is listed in.
    pub category: String,
    /// Price for one.
    pub price: Money,
    /// Key of the photo.
    pub image: String,
    /// A `ThumbHash` of the photo in base64, made when the product is written: `thumbnails_core::placeholder`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placeholder: Option<String>,
    /// Maker.
    pub brand: String,
    /// Stock keeping unit.
    pub sku: String,
    /// Pieces in stock.
    pub stock: u32,
    /// Weight with packaging, in grams.
    pub weight_grams: u32,
    /// Mean rating in tenths of a star, 10 to 50; absent without ratings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating_tenths: Option<u8>,
    /// Words to search by.
    pub tags: Vec<String>,
    /// Whether the home screen shows it.
    #[serde(default)]
    pub featured: bool,
    /// First listed.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
}

impl Entity for Product {
    fn index_attributes(&self) -> Vec<(&'static str, String)> {
        let featured = self.featured.then(|| ("featured", "1".to_owned()));
        std::iter::once(("category", self.category.clone())).chain(featured).collect()
    }
}
