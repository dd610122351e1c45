// Texts of the description of the API.

export const apiTexts = {
  api: {
    title: "API",
    version: (/** @type {string} */ version) => `Version ${version}. Every service describes itself.`,
    document: "OpenAPI document",
    parameters: "Parameters",
    places: { query: "query", path: "path", header: "header", cookie: "cookie" },
    body: "Body",
    answers: "Answers",
    example: "Example",
    objects: "Objects",
    objectsRest: "The forms of bodies and answers.",
    columns: { name: "Name", type: "Type", meaning: "Meaning", status: "Status" },
    fieldsOf: "All fields of ",
    required: "required",
    nothing: "nothing",
    any: "any value",
    instant: "instant",
    listOf: "list of ",
    or: " or ",
    range: (/** @type {number} */ least, /** @type {number} */ most) => `${least} to ${most}`,
    length: (/** @type {number} */ least, /** @type {number} */ most) => `${least} to ${most} characters`,
    count: (/** @type {number} */ least, /** @type {number} */ most) => `${least} to ${most} of them`,
  },
};
