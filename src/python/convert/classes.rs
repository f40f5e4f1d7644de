//! PyMongo's classes of the objects that users see.

use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::python::lifecycle::once::intern;

/// What `isinstance` and `__class__` say of an object: PyMongo's class `name`, once its module is imported, so that code
/// that asks for PyMongo's classes accepts the object. An object of a subclass is of its own class.
pub(crate) fn class_of<'py>(
    object: &Bound<'py, PyAny>,
    own: &Bound<'py, PyType>,
    module: &str,
    name: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, class) = (object.py(), object.get_type());
    if class.is(own) {
        let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
        if let Ok(module) = modules.get_item(module)
            && let Some(theirs) = module.getattr_opt(name)?
        {
            return Ok(theirs);
        }
    }
    Ok(class.into_any())
}
