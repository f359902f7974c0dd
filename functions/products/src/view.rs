//! A product as clients see it.

use jiff::Timestamp;
use schemars::JsonSchema;
use shared::{
    delta::Record,
    http::{
        context::{V1, V2},
        view::Shape,
    },
    image::{Addresses, ImageView},
    slim::Slim,
    values::Money,
};

use crate::model::Product;

/// What a view needs besides what is stored.
#[derive(Clone, Debug)]
pub struct Context {
    /// Addresses of photos.
    pub images: Addresses,
}

/// Version 1: flat price, images as addresses.
#[derive(Debug, JsonSchema, Slim)]
#[schemars(rename_all = "camelCase")]
pub struct ProductV1<'a> {
    id: &'a str,
    name: &'a str,
    thumbnail: String,
    #[slim(detail)]
    full_image: String,
    #[slim(detail)]
    price: i64,
    #[slim(detail)]
    currency: &'a str,
    #[slim(full)]
    category: &'a str,
    #[slim(full)]
    description: &'a str,
    #[slim(full)]
    brand: &'a str,
    #[slim(full)]
    sku: &'a str,
    #[slim(full)]
    stock: u32,
    #[slim(full)]
    tags: &'a [String],
    #[slim(full)]
    #[schemars(with = "String", extend("format" = "date-time"))]
    updated_at: Timestamp,
}

/// Version 2: money as an object, the image in sizes, and the version for sync.
#[derive(Debug, JsonSchema, Slim)]
#[schemars(rename_all = "camelCase")]
pub struct ProductV2<'a> {
    id: &'a str,
    name: &'a str,
    #[slim(nested)]
    image: ImageView,
    #[slim(detail)]
    version: u64,
    #[slim(detail, nested)]
    price: &'a Money,
    #[slim(detail)]
    category: &'a str,
    #[slim(detail)]
    rating_tenths: Option<u8>,
    #[slim(detail)]
    in_stock: bool,
    #[slim(full)]
    description: &'a str,
    #[slim(full)]
    brand: &'a str,
    #[slim(full)]
    sku: &'a str,
    #[slim(full)]
    stock: u32,
    #[slim(full)]
    weight_grams: u32,
    #[slim(full)]
    tags: &'a [String],
    #[slim(full)]
    #[schemars(with = "String", extend("format" = "date-time"))]
    created_at: Timestamp,
    #[slim(full)]
    #[schemars(with = "String", extend("format" = "date-time"))]
    updated_at: Timestamp,
}

impl Shape<Record<Product>, Context> for V1 {
    type View<'a> = ProductV1<'a>;

    fn view<'a>(record: &'a Record<Product>, context: &Context) -> Option<ProductV1<'a>> {
        let product = record.value.as_ref()?;
        Some(ProductV1 {
            id: record.id.as_str(),
            name: &product.name,
            thumbnail: context.images.thumbnail(&product.image),
            full_image: context.images.original(&product.image),
            price: product.price.amount,
            currency: &product.price.currency,
            category: &product.category,
            description: &product.description,
            brand: &product.brand,
            sku: &product.sku,
            stock: product.stock,
            tags: &product.tags,
            updated_at: product.updated_at,
        })
    }
}

impl Shape<Record<Product>, Context> for V2 {
    type View<'a> = ProductV2<'a>;

    fn view<'a>(record: &'a Record<Product>, context: &Context) -> Option<ProductV2<'a>> {
        let product = record.value.as_ref()?;
        Some(ProductV2 {
            id: record.id.as_str(),
            name: &product.name,
            image: context.images.view(&product.image, product.placeholder.as_deref()),
            version: record.version,
            price: &product.price,
            category: &product.category,
            rating_tenths: product.rating_tenths,
            in_stock: product.stock > 0,
            description: &product.description,
            brand: &product.brand,
            sku: &product.sku,
            stock: product.stock,
            weight_grams: product.weight_grams,
            tags: &product.tags,
            created_at: product.created_at,
            updated_at: product.updated_at,
        })
    }

    fn edition(context: &Context) -> String {
        context.images.edition()
    }
}
