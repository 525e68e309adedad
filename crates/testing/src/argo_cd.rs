//! Argo CD's health of an object, by a script in the version of Lua that it runs.
//!
//! Must not know a kind: the script and the object are given.

use mlua::{Function, Lua, Table, Value as LuaValue};
use serde_json::Value;

use super::Result;
use super::error::Error;

/// The health that `script` gives to `object`.
///
/// # Errors
/// When the script fails, or gives none.
pub fn argo_cd_health(script: &str, object: &Value) -> Result<String> {
    let run = || {
        let lua = Lua::new();
        let health: Function = lua.load(format!("return function(obj)\n{script}\nend")).eval()?;
        health.call::<Table>(value(&lua, object)?)?.get("status")
    };
    run().map_err(|error: mlua::Error| Error::product(std::io::Error::other(error.to_string())))
}

fn value(lua: &Lua, from: &Value) -> mlua::Result<LuaValue> {
    Ok(match from {
        Value::Null => LuaValue::Nil,
        Value::Bool(from) => LuaValue::Boolean(*from),
        Value::Number(from) => LuaValue::Number(from.as_f64().unwrap_or_default()),
        Value::String(from) => LuaValue::String(lua.create_string(from)?),
        Value::Array(from) => {
            let table = lua.create_table()?;
            for item in from {
                table.push(value(lua, item)?)?;
            }
            LuaValue::Table(table)
        }
        Value::Object(from) => {
            let table = lua.create_table()?;
            for (name, field) in from {
                table.set(name.as_str(), value(lua, field)?)?;
            }
            LuaValue::Table(table)
        }
    })
}
