// Writes src/client/wire.ts: the types of docs/openapi.json and docs/asyncapi.yaml, which the server generates from its
// own. The file is made anew before types are checked, and is not committed: it cannot be out of date.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

const ROOT = join(import.meta.dirname, '../..');
const TARGET = join(import.meta.dirname, '../src/client/wire.ts');

const http = JSON.parse(readFileSync(join(ROOT, 'docs/openapi.json'), 'utf8'));
const live = parse(readFileSync(join(ROOT, 'docs/asyncapi.yaml'), 'utf8'));
// A schema of both documents has one source in the server, so it does not matter whose is taken.
const schemas = { ...live.components.schemas, ...http.components.schemas };

/** The TypeScript of a schema, at this indentation. */
function typeOf(schema, indent = '') {
  if (schema.$ref) return schema.$ref.split('/').pop();
  if ('const' in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  for (const [key, operator] of [['oneOf', ' | '], ['anyOf', ' | '], ['allOf', ' & ']]) {
    if (schema[key]) return [...new Set(schema[key].map((part) => typeOf(part, indent)))].join(operator);
  }
  const types = [schema.type ?? 'unknown'].flat();
  return types.map((type) => simple(type, schema, indent)).join(' | ');
}

function simple(type, schema, indent) {
  switch (type) {
    case 'integer':
    case 'number':
      return 'number';
    case 'array': {
      const item = typeOf(schema.items ?? {}, indent);
      return /[|&]/.test(item) ? `(${item})[]` : `${item}[]`;
    }
    case 'object':
      if (schema.properties) return fields(schema, indent);
      return schema.additionalProperties ? `Record<string, ${typeOf(schema.additionalProperties, indent)}>` : 'object';
    case 'string':
      return schema.format === 'binary' ? 'Blob' : 'string';
    default:
      return type; // boolean, null, unknown
  }
}

function fields(schema, indent) {
  const required = new Set(schema.required ?? []);
  const lines = Object.entries(schema.properties).map(([name, property]) => {
    const key = /^\w+$/.test(name) ? name : JSON.stringify(name);
    return `${comment(property.description, `${indent}  `)}${indent}  ${key}${required.has(name) ? '' : '?'}: ${typeOf(property, `${indent}  `)};\n`;
  });
  return `{\n${lines.join('')}${indent}}`;
}

function comment(text, indent = '') {
  return text ? `${indent}/** ${text.trim().replaceAll('*/', '*\\/').replaceAll('\n', `\n${indent} * `)} */\n` : '';
}

function declaration([name, schema]) {
  const isInterface = schema.type === 'object' && schema.properties;
  const body = isInterface ? `export interface ${name} ${fields(schema, '')}` : `export type ${name} = ${typeOf(schema)};`;
  return `${comment(schema.description)}${body}\n`;
}

/** Which payload each event carries, by direction. */
function events(direction) {
  const lines = Object.entries(live.components.messages)
    .filter(([key]) => key.startsWith(`${direction}.`))
    .map(([, message]) => `${comment(message.summary, '  ')}  ${message.name}: ${typeOf(message.payload, '  ')};\n`);
  return lines.join('');
}

/** What each event of a client is answered with, when it is not refused. */
function answers() {
  const lines = Object.values(live.components.messages)
    .filter((message) => message['x-ack'])
    .map((message) => `  ${message.name}: ${typeOf(message['x-ack'].oneOf[0].allOf[1])};\n`);
  return lines.join('');
}

const text = [
  '/** The shapes on the wire. Generated from the server\'s own documents by scripts/types.mjs: change the server instead. */\n',
  ...Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1)).map(declaration),
  `/** Payloads of the events that a client sends. */\nexport interface ClientEventPayloads {\n${events('client')}}\n`,
  `/** Answers to the events that a client sends, beside \`ok\`. */\nexport interface ClientEventAnswers {\n${answers()}}\n`,
  `/** Payloads of the events that the server sends. */\nexport interface ServerEventPayloads {\n${events('server')}}\n`,
].join('\n');

writeFileSync(TARGET, text);
