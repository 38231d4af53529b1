// What is known of a job and of one of its files, as its page and its card's menu list it.

/** @import { File, Job } from "./jobs.js" */

import { duration, fileSize, fullTime, modelName } from "./format.js";
import { t } from "./i18n.js";

/** @typedef {[string, string | number | null | undefined][]} Facts */

/**
 * Names and values, of what is known. What comes later moves nothing of what was there.
 *
 * @param {Job} job
 * @param {File} [file]
 * @returns {[string, string][]}
 */
export function factsOf(job, file) {
  /** @type {Facts} */
  const known = [
    [t("fact.created"), job.created_at && fullTime(job.created_at)],
    [t("fact.ratio"), file?.aspect_ratio ?? job.aspect_ratio],
    [t("fact.id"), job.id],
  ];
  const facts = [...known, ...times(job), ...ofFile(job, file)];
  return facts.flatMap(([name, value]) => (value ? [/** @type {[string, string]} */ ([name, String(value)])] : []));
}

/**
 * @param {Job} job
 * @returns {Facts}
 */
const times = ({ completed_at: ended, processing_time: total, ...job }) => [
  [t("fact.ended"), ended && fullTime(ended)],
  [t("fact.made-in"), total && duration(total)],
  [t("fact.generation"), job.generation_time && duration(job.generation_time)],
  [t("fact.download"), job.download_time && duration(job.download_time)],
];

/**
 * @param {Job} job
 * @param {File} [file]
 * @returns {Facts}
 */
function ofFile({ model, model_version: version }, file) {
  const { width, height } = file?.dimensions ?? {};
  return [
    [t("fact.model"), file && model && modelOf(model, version)],
    [t("fact.duration"), file?.duration_seconds && duration(file.duration_seconds)],
    [t("fact.dimensions"), width && height && `${width} × ${height}`],
    [t("fact.size"), file?.file_size && fileSize(file.file_size)],
    [t("fact.file"), file?.filename],
  ];
}

/**
 * @param {string} model
 * @param {string | undefined} version which a model's name may tell already
 */
function modelOf(model, version = "") {
  const name = modelName(model);
  return name.includes(version) ? name : `${name} · ${version}`;
}

/**
 * Puts them into a `<dl>`.
 *
 * @param {HTMLElement} list
 * @param {[string, string][]} facts
 */
export function putFacts(list, facts) {
  list.replaceChildren(...facts.map(([name, value]) => {
    const [row, term, said] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
    term.textContent = name;
    said.textContent = value;
    row.append(term, said);
    return row;
  }));
}
