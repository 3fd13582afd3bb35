//! The little linear algebra that the design needs, evaluated when it is compiled.

/// A matrix of `R` rows and `C` columns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matrix<const R: usize, const C: usize>(pub [[f64; C]; R]);

impl<const R: usize, const C: usize> Matrix<R, C> {
    /// All zeros.
    pub const ZERO: Self = Self([[0.0; C]; R]);

    /// `self · other`.
    pub const fn times<const K: usize>(&self, other: &Matrix<C, K>) -> Matrix<R, K> {
        let mut product = Matrix::<R, K>::ZERO;
        let mut row = 0;
        while row < R {
            let mut column = 0;
            while column < K {
                let mut inner = 0;
                while inner < C {
                    product.0[row][column] += self.0[row][inner] * other.0[inner][column];
                    inner += 1;
                }
                column += 1;
            }
            row += 1;
        }
        product
    }

    /// `self + factor · other`.
    pub const fn plus(&self, factor: f64, other: &Self) -> Self {
        let mut sum = *self;
        let mut row = 0;
        while row < R {
            let mut column = 0;
            while column < C {
                sum.0[row][column] += factor * other.0[row][column];
                column += 1;
            }
            row += 1;
        }
        sum
    }

    /// Rows become columns.
    pub const fn transposed(&self) -> Matrix<C, R> {
        let mut transposed = Matrix::<C, R>::ZERO;
        let mut row = 0;
        while row < R {
            let mut column = 0;
            while column < C {
                transposed.0[column][row] = self.0[row][column];
                column += 1;
            }
            row += 1;
        }
        transposed
    }
}

impl<const N: usize> Matrix<N, N> {
    /// Ones on the diagonal.
    pub const fn identity() -> Self {
        Self::diagonal([1.0; N])
    }

    /// These on the diagonal.
    pub const fn diagonal(entries: [f64; N]) -> Self {
        let mut matrix = Self::ZERO;
        let mut index = 0;
        while index < N {
            matrix.0[index][index] = entries[index];
            index += 1;
        }
        matrix
    }

    /// e to the power of the matrix, by its series; accurate for norms up to about one.
    pub const fn exponential(&self) -> Self {
        let mut sum = Self::identity();
        let mut term = Self::identity();
        let mut order = 1;
        while order < 24 {
            term = Self::ZERO.plus(1.0 / order as f64, &term.times(self));
            sum = sum.plus(1.0, &term);
            order += 1;
        }
        sum
    }
}

impl Matrix<2, 2> {
    /// The inverse of a matrix that has one.
    pub const fn inverse(&self) -> Self {
        let [[a, b], [c, d]] = self.0;
        let determinant = a * d - b * c;
        Self([
            [d / determinant, -b / determinant],
            [-c / determinant, a / determinant],
        ])
    }
}
