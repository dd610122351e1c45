// Plural forms and lists of the language of the page.

const rules = new Intl.PluralRules("en");

/**
 * @param {number} count
 * @param {string} single
 * @param {string} several
 */
export const plural = (count, single, several) =>
  `${count} ${rules.select(count) === "one" ? single : several}`;

/** @param {string[]} items */
export const list = (items) => items.join(", ");
