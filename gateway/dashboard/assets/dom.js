/** Small words for the DOM. Text goes in as text, never as markup; styles go through classes and attributes (CSP). */

/** @typedef {Node | string | number | null | undefined} Child */

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean | undefined>} [attributes]  true: present; false, undefined: absent
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  setAttributes(element, attributes);
  for (const child of children)
    if (child != null) element.append(child instanceof Node ? child : String(child));
  return element;
}

/**
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean | undefined>} [attributes]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(element, attributes);
  for (const child of children)
    if (child != null) element.append(child instanceof Node ? child : String(child));
  return element;
}

/** @param {Element} element @param {Record<string, string | number | boolean | undefined>} attributes */
export function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) element.removeAttribute(name);
    else {
      const text = value === true ? "" : String(value);
      if (element.getAttribute(name) !== text) element.setAttribute(name, text);
    }
  }
}

/** Only touches the document when the text differs. @param {Element} element @param {string | number} text */
export function setText(element, text) {
  const value = String(text);
  if (element.textContent !== value) element.textContent = value;
}

/**
 * The element of index.html with that id, of that kind.
 *
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function byId(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new TypeError(`index.html has no ${kind.name} "${id}"`);
  return element;
}

/** A colour of the stylesheet, resolved for canvas and uPlot. @param {string} name */
export function cssColour(name) {
  const probe = byId("probe", HTMLElement);
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}
