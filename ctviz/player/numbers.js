// Numbers as people read them.

/** A number for people: three significant digits, a real minus sign, never "-0". */
export function number(value, { sign = false } = {}) {
  if (value === null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  let text;
  if (size < 1e-9) return "0";
  if (size >= 1e5) text = size.toExponential(2).replace("e+", "e");
  else if (size >= 100) text = size.toFixed(0);
  else if (size >= 10) text = size.toFixed(1);
  else if (size >= 0.01) text = size.toFixed(size >= 1 ? 2 : 3);
  else if (size >= 0.001) text = size.toFixed(4);
  else text = size.toExponential(0).replace("-", "−");
  return (value < 0 ? "−" : sign ? "+" : "") + text;
}

export function percent(share, digits = 0) {
  if (share === null || !Number.isFinite(share)) return "–";
  // Never round up to a whole that is not there: 99.7 % is not 100 %.
  const value = share * 100;
  const text = value.toFixed(digits).replace(/^-(0(\.0*)?)$/, "$1"); // never "-0"
  if (Number(text) === 100 && value < 100) return `${value.toFixed(digits + 1)} %`;
  return `${text} %`;
}
